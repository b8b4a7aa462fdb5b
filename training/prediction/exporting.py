"""What `training.export` does: a model opened, its SavedModel written."""

import contextlib
import types
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_regionvit.export import export_saved_model
from keras_regionvit.export.detection import export_detector
from keras_regionvit.export.segmentation import export_segmenter
from keras_regionvit.images.decode import MAX_PIXELS
from keras_regionvit.tasks.inputs import PixelNormalization
from keras_regionvit.variants import VARIANTS
from training.prediction.labels import read_labels
from training.prediction.opened import IMAGES, open_keras, open_variant
from training.recipes.schema import Recipe
from training.tasks import open_task

# of the options that only classifiers have: as they are without being given
USUAL = types.MappingProxyType({"top_k": 5, "features": False, "any_size": False, "tensors": False})
WRITERS = {"detection": export_detector, "segmentation": export_segmenter}
ABOUT = ("source", "recipe", "metrics", "seed", "revision")  # what a card keeps of a model


def export(
    *,
    model,
    output,
    checkpoint=None,
    labels=None,
    weights="imagenet",
    image_size=None,
    crop_ratio=None,
    max_pixels=None,
    mean=None,
    std=None,
    tensors=False,
    **settings,
):
    """Writes the SavedModel of a `.keras` file, a run or a variant.

    Args:
        model: name of one of them.
        output: the folder to make.
        checkpoint: of a run, "best" or "last", see `open_keras`.
        labels: optional file with the names of the classes, one a line; of a run its own without.
        weights: of a variant: "imagenet", "none" or a file.
        image_size: of a variant, or of a model for any size; 224 without.
        crop_ratio: share of the shorter side that is kept; the run's, or 0.875, without.
        max_pixels: larger images are not decoded.
        mean: of each channel on 0..255, where the model does not normalise by itself.
        std: likewise.
        tensors: whether it takes tensors alone; the card says how they are made of images.
        **settings: others of `export_saved_model`.

    Returns:
        `output`, a `Path`.

    Raises:
        ValueError: the model, its labels or a setting do not fit.
        OSError: the folder cannot be written.

    Example:

    >>> export(model="runs/quickstart", output="serving/quickstart/1")
    """
    if model in VARIANTS and not Path(model).exists() and not checkpoint:
        opened = open_variant(model, weights, image_size)
    else:
        opened = open_keras(model, checkpoint)
    names = read_labels(labels) if labels else None
    if opened.task != IMAGES:
        given = {"crop_ratio": crop_ratio, "mean": mean, "std": std, "tensors": tensors}
        _refuse(opened, settings | given)
        return export_dense(opened, output, names, size=image_size, max_pixels=max_pixels)
    asked = {"size": image_size, "crop_ratio": crop_ratio, "max_pixels": max_pixels or MAX_PIXELS}
    settings["preprocessing"] = _preprocessing(opened, tensors, mean=mean, std=std, **asked)
    about = {key: getattr(opened, key) for key in ABOUT}
    names = names or opened.labels
    with _os_errors():
        export_saved_model(opened.model, output, names, tensors=tensors, card=about, **settings)
    return Path(output)


def export_dense(opened, output, labels=None, *, size=None, max_pixels=None):
    """Writes the SavedModel of a detector or segmenter.

    Args:
        opened: an `Opened` of one.
        output: the folder to make.
        labels: optional names of the classes; of a run its own without.
        size: side of the canvas, of a model for any size.
        max_pixels: larger images are not decoded.

    Returns:
        `output`, a `Path`.

    Raises:
        ValueError: the model, its labels or a setting do not fit.
        OSError: the folder cannot be written.

    Example:

    >>> export_dense(open_keras("runs/detector"), "serving/detector/1")
    """
    model, names = opened.model, labels or opened.labels
    if names is not None and len(names) != model.num_classes:
        raise ValueError(
            f"--model {opened.name} has {model.num_classes} classes, but there are {len(names)} "
            "names of classes."
        )
    info = dict(opened.info or {})
    about = {key: getattr(opened, key) for key in ABOUT}
    about |= {key: list(info[key]) for key in ("category_ids",) if key in info}
    settings = {"card": about, "max_pixels": max_pixels or MAX_PIXELS}
    with _os_errors():
        if opened.recipe:
            if size is not None:
                raise ValueError(f"--image-size is given by the run of --model {opened.name}.")
            task = open_task(Recipe.from_dict(opened.recipe))
            info["class_names"] = names or tuple(map(str, range(model.num_classes)))
            task.serve(model, info, Path(output), **settings)
        else:
            _write_dense(opened, output, names, size, settings)
    return Path(output)


@contextlib.contextmanager
def _os_errors():
    """What TensorFlow raises as an `OSError`: of a full disk, among others."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError((error.message or type(error).__name__).splitlines()[0]) from error


def _write_dense(opened, output, names, size, settings):
    """The SavedModel of a model of no run: its input and its own normalisation tell the canvas."""
    model = opened.model
    height, width, _ = model.input.shape[1:]
    if height is None and size is None:
        raise ValueError(f"--model {opened.name} takes images of any size: give --image-size.")
    if size is not None and height not in (None, size):
        raise ValueError(f"--image-size must be {height}, which --model {opened.name} takes.")
    if height != width:
        raise ValueError(f"--model {opened.name} takes images {height} x {width}, not squares.")
    statistics = [layer for layer in model.layers if isinstance(layer, PixelNormalization)]
    if not statistics:
        raise ValueError(
            f"--model {opened.name} does not normalise images by itself: make it with "
            "include_preprocessing=True."
        )
    fill = tuple(np.asarray(statistics[0].mean).tolist())
    write = WRITERS[opened.task]
    write(model, output, names, size=size or height, fill=fill, **settings)


def _refuse(opened, settings):
    """Refuses options of classification alone, where they are given."""
    for key, value in settings.items():
        if value != USUAL.get(key):
            raise ValueError(
                f"--{key.replace('_', '-')} is for models that classify images; --model "
                f"{opened.name} is one of {opened.task}."
            )


def _preprocessing(opened, tensors, **asked):
    """What becomes of an image; tensors can do without, if they are no squares or grey."""
    optional = tensors and asked["mean"] is None and asked["std"] is None
    with contextlib.suppress(*[ValueError] * optional):
        return opened.preprocessing(**asked)
    return None
