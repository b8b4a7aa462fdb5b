"""What `--model` names, opened: a `.keras` file, the folder of a run, a variant; and its record."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import keras

import keras_regionvit
from keras_regionvit.export import LABELS, Preprocessing
from keras_regionvit.export.structure import check_classifier, normalizes
from keras_regionvit.files import one_line, read_json
from keras_regionvit.variants import VARIANTS
from keras_regionvit.weights.detectors import DETECTORS
from keras_regionvit.weights.keras_file import check_keras_file
from keras_regionvit.weights.pretrained import check_weights, load_weights
from training.prediction.labels import read_labels
from training.runs import trained
from training.runs.folder import RECORD, REPORT, read_record, read_values
from training.tasks import open_task
from training.tasks.classification import lines

IMAGES = "classification"  # the task of all other models
MODEL, SAVED_MODEL = "model.keras", Path("saved_model", "1")  # in the folder of a run
CARD_METRICS = ("accuracy", "top5_accuracy", "auc", "loss", "AP", "AP50", "AP75", "mask_AP",
    "mask_AP50", "keypoint_AP", "keypoint_AP50", "mean_iou", "pixel_accuracy")  # fmt: skip
DENSE = dict.fromkeys(DETECTORS, "detection") | {keras_regionvit.SemanticFPN: "segmentation"}


@dataclasses.dataclass(frozen=True)
class Opened:
    """A Keras model and what is known of it.

    Attributes:
        name: what `--model` was.
        model: a `keras.Model`: a classifier, a detector or a `SemanticFPN`.
        source: where it comes from, in words.
        recipe: the run's recipe, plain data as in `run.json`; this and the others are `None` where
            they are not known.
        metrics: the run's metrics on held-out images, a dict.
        seed: the run's seed.
        revision: git revision of the code that trained it.
        labels: names of the classes.
        crop_ratio: share of the shorter side that the run's evaluation keeps.
        info: what the run's data is, see `training.runs.trained.read_info`.
    """

    name: str
    model: Any
    source: str
    recipe: dict | None = None
    metrics: dict | None = None
    seed: int | None = None
    revision: str | None = None
    labels: list[str] | None = None
    crop_ratio: float | None = None
    info: dict | None = None

    @property
    def task(self):
        """What the model does: "classification", "detection" or "segmentation"."""
        return next((task for kind, task in DENSE.items() if isinstance(self.model, kind)), IMAGES)

    def preprocessing(self, *, size=None, crop_ratio=None, mean=None, std=None, **settings):
        """What becomes of an image before the model, as evaluation has it.

        Args:
            size: side of the images, of a model for any size; 224 without.
            crop_ratio: share of the shorter side that is kept; by default the run's own, or 0.875.
            mean: of each channel on 0..255. By default none is subtracted if the model normalises
                by itself, see `keras_regionvit.export.structure.normalizes`, and else ImageNet's.
            std: likewise.
            **settings: others of `Preprocessing`.

        Returns:
            A `Preprocessing`.

        Raises:
            ValueError: the model does not take squares, its statistics are not known, or a
                setting is out of range.
        """
        height, width, channels = self.model.input.shape[1:]
        if height != width and size is None:
            raise ValueError(
                f"--model {self.name} takes images {height} x {width}, not squares; "
                "training.export takes it with --tensors."
            )
        settings |= self._statistics(channels, mean, std)
        crop_ratio = crop_ratio or self.crop_ratio
        if crop_ratio:
            settings["crop_ratio"] = crop_ratio
        return Preprocessing(size or height or 224, **settings)

    def _statistics(self, channels, mean, std):
        """The `mean` and `std` to normalise by, a dict; empty for ImageNet's."""
        itself = normalizes(self.model)
        if (mean is None) != (std is None):
            raise ValueError("--mean and --std belong together: give both or neither.")
        if mean is not None:
            if itself is True:
                raise ValueError(
                    f"--model {self.name} normalises by itself: leave --mean and --std out."
                )
            for option, values in (("--mean", mean), ("--std", std)):
                if len(values) != channels:
                    raise ValueError(
                        f"{option} needs one number for each of the {channels} channels that "
                        f"--model {self.name} takes, not {len(values)}."
                    )
            return {"mean": tuple(mean), "std": tuple(std)}
        if itself is True:
            return pixels(channels)
        if itself or channels != 3:
            why = f"layer {itself!r} may normalise them" if itself else "it does not normalise them"
            raise ValueError(
                f"--model {self.name} takes images with {channels} channel{'s' * (channels != 1)}, "
                f"and {why}: say by --mean and --std of training.export how to, such as "
                f"--mean {','.join(['127.5'] * channels)} --std {','.join(['127.5'] * channels)}."
            )
        return {}


def pixels(channels):
    """The `mean` and `std` of a model that takes pixels on 0..255."""
    return {"mean": (0.0,) * channels, "std": (1.0,) * channels}


def open_keras(name, checkpoint=None):
    """Opens a `.keras` file, or the model of a run.

    Args:
        name: path of the file or folder.
        checkpoint: of a run, "best" or "last", see `training.runs.trained.load_trained`; by
            default what it has exported or, where it has not come so far, the best.

    Returns:
        An `Opened`. Of a run's model the record is read, too.

    Raises:
        ValueError: there is no such model, or it cannot be read.

    Example:

    >>> open_keras("runs/quickstart").labels[0]
    'T-shirt/top'
    """
    path = Path(name)
    record = {}
    if path.is_dir():
        record = record_of(path)
        if checkpoint or not (path / MODEL).is_file():
            return open_checkpoint(path, checkpoint, record)
        path /= MODEL
    elif checkpoint:
        raise ValueError(f"--checkpoint is for the folder of a run, which --model {name} is not.")
    elif (path.parent / RECORD).is_file():
        record = record_of(path.parent)
    if not path.is_file():
        raise ValueError(
            f"--model {name} is neither a .keras file, nor the folder of a run, "
            f"nor one of {', '.join(VARIANTS)}."
        )
    try:
        check_keras_file(path)
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # of whatever kind the file makes Keras raise
        raise ValueError(f"--model {path} cannot be read: {one_line(error)}") from None
    if not isinstance(model, tuple(DENSE)):
        model = check_classifier(model)
    return Opened(str(name), model, str(name), **record)


def open_checkpoint(folder, which, record):
    """Opens a checkpoint of a run, which may have ended, have been stopped or go on.

    Args:
        folder: the run's folder, a `Path`.
        which: "best", "last", or `None` for the best there is.
        record: of `record_of`.

    Returns:
        An `Opened`.

    Raises:
        ValueError: there is no such checkpoint, or it is damaged.

    Example:

    >>> open_checkpoint(Path("runs/mine"), "last", record_of("runs/mine"))
    """
    plain, recipe = read_record(folder)
    task = open_task(recipe)
    which = which or trained.default_checkpoint(folder)
    trained.checkpoint_path(folder, which)  # before the model is built
    info = trained.info_of(folder, plain, task)
    labels = info.get("class_names")
    if not isinstance(labels, tuple) or not labels:
        raise ValueError(f"--model {folder} has no names of classes in {trained.INFO}.")
    model = task.build_model(info)
    trained.load_trained(model, folder, which)
    words, metrics = trained.about(folder, which, task.evaluator(info))
    found = {**record, "metrics": metrics, "labels": list(lines(labels)), "info": info}
    return Opened(str(folder), task.for_users(model, info), f"{folder}, {words}", **found)


def open_variant(name, weights, size=None):
    """Builds a variant for ImageNet-1K and loads its weights.

    Args:
        name: of the variant.
        weights: "imagenet", "none" for random ones, or a file.
        size: height and width of the images; 224 without.

    Returns:
        An `Opened`.

    Raises:
        ValueError: there is no such variant, or the weights cannot be read.

    Example:

    >>> open_variant("small", "imagenet")
    """
    given, size = None if weights == "none" else weights, size or 224
    check_weights(given, name, channels=3, classes=1000, activation="softmax")
    backbone = keras_regionvit.RegionViTBackbone.from_variant(name, input_shape=(size, size, 3))
    model = keras_regionvit.build_classifier(backbone, name=f"regionvit_{name}")
    if given is not None:
        load_weights(model, given, name)
    return Opened(name, model, f"{name}, weights {weights}")


def record_of(folder):
    """What a run's folder says of its model.

    Args:
        folder: the run's folder.

    Returns:
        A dict of `recipe`, `seed`, `revision`, `crop_ratio`, `info`; of a run that is finished
        also `metrics` and `labels`.

    Raises:
        ValueError: it is not the folder of a run, or `run.json` is damaged.

    Example:

    >>> record_of("runs/quickstart")["seed"]
    0
    """
    folder = Path(folder)
    record = read_values(folder)
    found = {key: record.get(key) for key in ("recipe", "seed", "revision")}
    found["crop_ratio"] = crop_ratio_of(folder)
    with contextlib.suppress(ValueError):  # a classifier does not need it
        found["info"] = trained.read_info(folder)
    with contextlib.suppress(OSError, ValueError):  # a run that is not finished has neither
        report = _report(folder)
        found["metrics"] = {key: report[key] for key in CARD_METRICS if key in report}
        found["labels"] = read_labels(folder / SAVED_MODEL / LABELS)
    return found


def crop_ratio_of(folder):
    """Share of the shorter side that a run's evaluation keeps, from its `run.json`.

    Args:
        folder: the run's folder.

    Raises:
        ValueError: it is not the folder of a run, or `run.json` is damaged.

    Example:

    >>> crop_ratio_of("runs/quickstart")
    1.0
    """
    ratio = crop_ratio_in(read_values(folder)["recipe"])
    if ratio is None:
        raise ValueError(f"{Path(folder, RECORD)} is damaged: it has no `crop_ratio`.")
    return ratio


def crop_ratio_in(recipe):
    """The crop ratio in a recipe of plain data, with sections or, as of version 0.1, without."""
    try:
        ratio = recipe.get("evaluate", recipe)["crop_ratio"]
    except (AttributeError, KeyError, TypeError):
        return None
    valid = isinstance(ratio, (int, float)) and not isinstance(ratio, bool) and 0 < ratio <= 1
    return float(ratio) if valid else None


def _report(folder):
    """The dict of a run's `report.json`."""
    report = read_json(folder / REPORT)
    if not isinstance(report, dict):
        raise ValueError(f"{folder / REPORT} is damaged: it is no record.")
    return report
