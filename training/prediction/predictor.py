"""One predictor for any model of ours: encoded images in, classes out, as evaluation has them.

S: side of the model's images; C: their channels; K: classes; k: best classes.
"""

import dataclasses
import json
import typing
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_regionvit.export import LABELS, Preprocessing, read_card
from keras_regionvit.export.model_card import CARD, checksum
from keras_regionvit.export.signatures import best_classes, check_fit, of_bytes, tensor_spec
from keras_regionvit.export.structure import probabilities_of
from keras_regionvit.files import one_line
from training.engine.loop import BEST, LAST
from training.prediction.labels import read_labels
from training.prediction.opened import (
    MODEL,
    SAVED_MODEL,
    crop_ratio_in,
    crop_ratio_of,
    open_keras,
    pixels,
)
from training.runs.folder import RECORD
from training.runs.trained import checkpoint_path, default_checkpoint

PROTOCOL = "saved_model.pb"  # the file that makes a folder a SavedModel
BATCH = 32  # images at a time
TOP_K = 5


class Prediction(typing.NamedTuple):
    """What a model says of one image.

    Attributes:
        valid: whether the image could be read; if not, the others are zeros and empty.
        probabilities: float32 (K,).
        classes: the k best classes, ints, best first.
        labels: their names.
        scores: their probabilities.
    """

    valid: bool
    probabilities: np.ndarray
    classes: list[int]
    labels: list[str]
    scores: list[float]


class Predictor:
    """A model that takes encoded images: decoding, resize, crop and statistics are evaluation's.

    Args:
        model: a SavedModel's folder, whether it takes encoded images or tensors; a `.keras` file;
            or the folder of a run.
        checkpoint: of a run, "best" or "last"; by default what it has exported or, where it has
            not come so far, the best.

    Attributes:
        labels: names of the K classes; their numbers where the model has no names.
        top_k: k.
        preprocessing: the `Preprocessing`; `None` where a SavedModel without a card knows it.
        identity: what tells the model from others, plain data.

    Raises:
        ValueError: there is no such model, or it cannot be read or take images.

    Example:

    >>> (prediction,) = Predictor("runs/quickstart")([open("shirt.png", "rb").read()])
    >>> prediction.labels[0]
    'Shirt'
    """

    def __init__(self, model, checkpoint=None):
        path = find_model(model, checkpoint)
        if path.is_file():
            served = _of_opened(open_keras(path), path)
        elif (path / PROTOCOL).is_file():
            served = _open_saved_model(path)
        else:
            file = checkpoint_path(path, checkpoint or default_checkpoint(path))
            served = _of_opened(open_keras(path, checkpoint), file)
        self._served = served  # it holds the weights
        self.preprocessing, self.identity = served.preprocessing, served.identity
        outputs = served.function.structured_outputs
        count, self.top_k = (outputs[name].shape[-1] for name in ("probabilities", "scores"))
        self.labels = served.labels or [str(i) for i in range(count)]
        if len(self.labels) != count:
            raise ValueError(
                f"--model {model} has {count} classes, but {len(self.labels)} names of classes in "
                f"{LABELS}; export it again."
            )

    def __call__(self, encoded):
        """Predicts images.

        Args:
            encoded: list of bytes, each a JPEG, PNG, GIF (its first frame) or BMP, or what cannot
                be read. They are worked on together: give large numbers in parts of `BATCH`.

        Returns:
            A list with a `Prediction` for each.
        """
        answer = self._served.function(image_bytes=tf.constant(encoded, tf.string))
        names = ("valid", "probabilities", "classes", "scores")
        rows = zip(*(answer[name].numpy() for name in names), strict=True)
        return [self._prediction(*row) for row in rows]

    def _prediction(self, valid, probabilities, classes, scores):
        classes = classes.tolist()
        labels = [self.labels[i] if valid else "" for i in classes]
        return Prediction(bool(valid), probabilities, classes, labels, scores.tolist())


def find_model(name, checkpoint=None):
    """The SavedModel's folder, the `.keras` file or the folder of a run that `--model` means.

    Args:
        name: path of one of them.
        checkpoint: of a run, "best" or "last", where its checkpoint is asked for.

    Returns:
        A `Path`; the folder of a run where its checkpoint is to be taken.

    Raises:
        ValueError: it is none of them.

    Example:

    >>> find_model("runs/quickstart")
    PosixPath('runs/quickstart/saved_model/1')
    """
    path = Path(name)
    if (path / RECORD).is_file():
        exported = () if checkpoint else (path / SAVED_MODEL, path / MODEL)
        found = next((inside for inside in exported if inside.exists()), path)
        if found == path and not any((path / file).exists() for file in (BEST, LAST)):
            raise ValueError(
                f"--model {name} is the folder of a run that has no checkpoint yet; it goes on "
                f"with: python -m training.train --resume {name}"
            )
        return found
    if checkpoint:
        raise ValueError(f"--checkpoint is for the folder of a run, which --model {name} is not.")
    if path.is_file() or (path / PROTOCOL).is_file():
        return path
    patterns = (f"*/{PROTOCOL}", f"*/*/{PROTOCOL}", f"*/{RECORD}")
    near = [found for pattern in patterns for found in path.glob(pattern)]
    hint = f"; did you mean {max(near).parent}?" if near else ""
    raise ValueError(
        f"--model {name} is not a SavedModel (no {PROTOCOL} in it), a .keras file or the folder "
        f"of a run{hint}"
    )


@dataclasses.dataclass(frozen=True)
class _Served:
    """The function of encoded images, and what is known beside it.

    `function` is concrete: `image_bytes` to the outputs of `best_classes` and `valid`. `holds` is
    what must live as long.
    """

    function: typing.Any
    labels: list[str] | None
    preprocessing: Preprocessing | None
    identity: typing.Any
    holds: typing.Any


def _open_saved_model(path):
    card = read_card(path) if (path / CARD).exists() else {}
    try:
        loaded = tf.saved_model.load(str(path))
        signature = loaded.signatures["serving_default"]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"--model {path} cannot be loaded as a SavedModel: {reason}") from None
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    if "probabilities" not in outputs or not {"image_bytes", "images"} & set(inputs):
        raise ValueError(
            f"--model {path} does not classify images: its `serving_default` makes "
            f"{', '.join(sorted(outputs))} of {', '.join(sorted(inputs))}."
        )
    labels = read_labels(path / LABELS) if (path / LABELS).exists() else None
    identity = card.get("sha256") or checksum(path / PROTOCOL)
    if "image_bytes" in inputs:
        return _Served(signature, labels, _of_card(card), identity, loaded)
    preprocessing = _of_card(card) or _of_tensors(path, card, inputs["images"].shape)
    function = _of_encoded(
        lambda images: signature(images=images)["probabilities"],
        inputs["images"],
        outputs["probabilities"].shape[-1],
        preprocessing,
    )
    identity = _plain({"sha256": identity, "preprocessing": preprocessing})
    return _Served(function, labels, preprocessing, identity, loaded)


def _of_opened(opened, path):
    model, preprocessing = opened.model, opened.preprocessing()
    check_fit(model, preprocessing)
    function = _of_encoded(
        probabilities_of(model),
        tensor_spec(model),
        model.output.shape[-1],
        preprocessing,
    )
    identity = _plain({"sha256": checksum(path), "preprocessing": preprocessing})
    return _Served(function, opened.labels, preprocessing, identity, model)


def _of_encoded(probabilities, spec, classes, preprocessing):
    """The concrete function of encoded images, from that of tensors."""
    answer = best_classes(probabilities, spec, top_k=min(TOP_K, classes))
    return of_bytes(answer, preprocessing).get_concrete_function()


def _of_card(card):
    """The `Preprocessing` of a SavedModel's card, `None` if it has none."""
    found = card.get("preprocessing")
    if not found:
        return None
    try:
        statistics = {key: tuple(found[key]) for key in ("mean", "std")}
        return Preprocessing(**{**found, **statistics})
    except Exception as error:  # of whatever kind odd values make `Preprocessing` raise
        raise ValueError(
            f"the `preprocessing` in {CARD} is damaged: {one_line(error)}; export the model again."
        ) from None


def _of_tensors(path, card, shape):
    """What becomes of an image before a SavedModel of tensors whose card does not say it.

    Runs of version 0.1 wrote such, which take pixels on 0..255, and so did `training.export
    --tensors`: of a run likewise, of other models with statistics that are not known any more.
    """
    if card.get("source") and not card.get("recipe"):
        raise ValueError(
            f"--model {path} takes tensors, and does not say how they are made of images; export "
            "it again with training.export."
        )
    _, height, width, channels = shape
    if height != width:
        raise ValueError(f"--model {path} takes images {height} x {width}, not squares.")
    settings = pixels(channels)
    run = path.resolve().parent.parent
    crop_ratio = crop_ratio_in(card.get("recipe"))
    if crop_ratio is None and (run / RECORD).is_file():
        crop_ratio = crop_ratio_of(run)
    if crop_ratio:
        settings["crop_ratio"] = crop_ratio
    return Preprocessing(height or 224, **settings)


def _plain(values):
    """Values as JSON gives them back."""
    return json.loads(json.dumps(values, default=dataclasses.asdict))
