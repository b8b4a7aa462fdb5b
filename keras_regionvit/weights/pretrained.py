"""Trained weights by name, path or URL: check them, fetch them, load them.

`weights=` of a model function goes through `check_weights` and `load_weights`, a training that
starts from trained weights through `initialize_from`.
"""

import os
import pathlib

import numpy as np

from keras_regionvit.backbone import RegionViTBackbone
from keras_regionvit.files import replacing
from keras_regionvit.tasks.classification import HEAD, build_classifier
from keras_regionvit.weights.download import cache_folder, download, is_url
from keras_regionvit.weights.keras_file import is_keras_file, load_keras_file
from keras_regionvit.weights.loading import (
    load_official_arrays,
    load_official_weights,
    official_state_dict,
)
from keras_regionvit.weights.torch_file import read_torch_file

# The official README's link for M points to S; the names of the files are right.
RELEASE = "https://github.com/IBM/RegionViT/releases/download/weights-v0.1/"
OFFICIAL_FILES = {
    "tiny": "RegionViT-Ti.pth",
    "small": "RegionViT-S.pth",
    "medium": "RegionViT-M.pth",
    "base": "RegionViT-B.pth",
}


def check_weights(weights, variant, channels, classes, activation):
    """That `weights` names something that fits the other arguments of a model.

    Args:
        weights: the argument `weights`.
        variant: name of the model's row.
        channels: channels of the image.
        classes: number of classes, `None` without the top.
        activation: activation of the top.

    Raises:
        ValueError: it does not; the sentence names the argument.
    """
    if weights is None:
        return
    _check_kind(weights)
    if os.fspath(weights) == "imagenet":
        if variant not in OFFICIAL_FILES:
            raise ValueError(
                f"`weights='imagenet'` exists only for {', '.join(OFFICIAL_FILES)}, not for "
                f"{variant}; use None or the path of a file."
            )
        if classes not in (None, 1000):
            raise ValueError(
                "`classes` must be 1000 with `weights='imagenet'` and `include_top=True`. "
                f"Received: classes={classes}"
            )
    if channels != 3:
        raise ValueError(
            f"`input_shape` must have 3 channels with pretrained weights. Received: {channels}"
        )
    if classes is not None and activation not in (None, "softmax"):
        raise ValueError(
            "`classifier_activation` must be None or 'softmax' with pretrained weights. "
            f"Received: {activation!r}"
        )


def load_weights(model, weights, variant):
    """Loads what `weights=` of a model function names into the model, all of it or nothing.

    Args:
        model: a model just built.
        weights: "imagenet", a path or a URL, already checked.
        variant: name of the model's row.

    Raises:
        ValueError: the file is not what it should be or does not fit the model.
        WriteError: the cache of downloads cannot be written to.

    Example:

    >>> load_weights(model, "RegionViT-S.pth", "small")
    """
    _load(model, os.fspath(weights), variant, any_classes=False)


def initialize_from(model, weights, variant=None):
    """Begins a model with trained weights; a head of another number of classes stays as it is.

    Every other tensor of the backbone, the norm and the head is loaded. Regional kernels and
    position bias tables are resized to the windows of the model.

    Args:
        model: a `RegionViTBackbone`, or a model of this package that holds one. Layers before
            the backbone, such as a normalisation of the image, are left alone.
        weights: "imagenet", or the path or URL of an official `.pth`, or of a `.weights.h5` or
            `.keras` file of this package.
        variant: name of the model's row, for "imagenet"; a row with windows of 14 starts from
            the official weights for 7.

    Returns:
        Paths of the variables that stay as they are: those of the head, and of norms of the
        pyramid that a file of this package lacks; those that a `.pth` lacks become the identity.

    Raises:
        ValueError: `weights` names nothing that can be read, or it does not fit the model, which
            is then as it was.
        WriteError: the cache of downloads cannot be written to.

    Example:

    >>> model = build_classifier(RegionViTBackbone.from_variant("small_w14"), classes=10)
    >>> initialize_from(model, "imagenet", "small_w14")
    ['predictions/kernel', 'predictions/bias']
    """
    check_start(weights, variant)
    row = (variant or "").removesuffix("_w14")
    return _load(model, os.fspath(weights), row, any_classes=True)


def check_start(weights, variant=None):
    """That `initialize_from` knows what `weights` names; nothing is read.

    Raises:
        ValueError: it does not.

    Example:

    >>> check_start("imagenet", "small_w14")
    """
    _check_kind(weights)
    row = (variant or "").removesuffix("_w14")
    if os.fspath(weights) == "imagenet" and row not in OFFICIAL_FILES:
        raise ValueError(
            f"`weights='imagenet'` exists only for {', '.join(OFFICIAL_FILES)}, and these with "
            f"_w14. Received: variant={variant!r}; use the path of a file."
        )


def _check_kind(weights):
    """That `weights` is "imagenet", a URL or the path of a file that exists, of a known kind."""
    if not isinstance(weights, (str, os.PathLike)):
        raise ValueError(
            "`weights` must be None, 'imagenet', a path or a URL. "
            f"Received: {type(weights).__name__}"
        )
    text = os.fspath(weights)
    if text == "imagenet" or is_url(text):
        return
    if not text.endswith((".pth", ".pt", ".weights.h5", ".keras")):
        raise ValueError(
            "`weights` must be None, 'imagenet', or the path or URL of a .pth, .weights.h5 or "
            f".keras file. Received: weights={text!r}"
        )
    if not os.path.isfile(text):
        raise ValueError(f"`weights` names a file that does not exist: {text!r}.")


def _load(model, weights, variant, any_classes):
    """Loads `weights`; returns paths of the variables of a head that stays as it is."""
    if weights == "imagenet":
        # The cached file is of the plain model: a model takes what it has of it.
        arrays = official_state_dict(_released_classifier(variant))
    else:
        path = download(weights) if is_url(weights) else weights
        if is_keras_file(path):
            return load_keras_file(model, path, any_classes=any_classes)
        arrays = read_torch_file(path)
    head = [layer for layer in model.layers if layer.name == HEAD]
    classes = np.shape(arrays.get("head.weight", ()))[:1]
    other = any_classes and any(classes != (layer.units,) for layer in head)
    load_official_arrays(model, arrays, weights, skip_head=other)
    return [variable.path for layer in head if other for variable in layer.weights]


def _released_classifier(variant):
    """The plain classifier with the official weights, converted once and then cached."""
    name = OFFICIAL_FILES[variant]
    converted = cache_folder() / f"{name.removesuffix('.pth')}.weights.h5"
    plain = build_classifier(RegionViTBackbone.from_variant(variant))
    if converted.is_file():
        load_keras_file(plain, converted)
        return plain
    checkpoint = pathlib.Path(download(RELEASE + name))
    load_official_weights(plain, checkpoint)
    with replacing(converted) as aside:
        plain.save_weights(aside)
    checkpoint.unlink()
    return plain
