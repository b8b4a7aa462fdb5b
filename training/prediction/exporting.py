"""What `training.export` does: a model opened, its SavedModel written."""

import contextlib
from pathlib import Path

import tensorflow as tf

from keras_regionvit.export import export_saved_model
from keras_regionvit.images.decode import MAX_PIXELS
from keras_regionvit.variants import VARIANTS
from training.prediction.opened import open_keras, open_variant, read_labels

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
    asked = {"size": image_size, "crop_ratio": crop_ratio, "max_pixels": max_pixels or MAX_PIXELS}
    try:
        export_saved_model(
            opened.model,
            output,
            read_labels(labels) if labels else opened.labels,
            preprocessing=_preprocessing(opened, tensors, mean=mean, std=std, **asked),
            tensors=tensors,
            card={key: getattr(opened, key) for key in ABOUT},
            **settings,
        )
    except tf.errors.OpError as error:  # of a full disk, among others
        raise OSError((error.message or type(error).__name__).splitlines()[0]) from error
    return Path(output)


def _preprocessing(opened, tensors, **asked):
    """What becomes of an image; tensors can do without, if they are no squares or grey."""
    optional = tensors and asked["mean"] is None and asked["std"] is None
    with contextlib.suppress(*[ValueError] * optional):
        return opened.preprocessing(**asked)
    return None
