"""What the argument `weights=` of a model may name: check it, fetch it, load it."""

import math
import os
import pathlib
import shutil
import tempfile
import zipfile

from keras_regionvit.backbone import RegionViTBackbone
from keras_regionvit.tasks.classification import build_classifier
from keras_regionvit.weights import official
from keras_regionvit.weights.download import cache_folder, download, is_url
from keras_regionvit.weights.loading import load_official_weights, official_state_dict

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
    if not isinstance(weights, (str, os.PathLike)):
        raise ValueError(
            "`weights` must be None, 'imagenet', a path or a URL. "
            f"Received: {type(weights).__name__}"
        )
    text = os.fspath(weights)
    if text == "imagenet":
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
    elif not is_url(text):
        if not text.endswith((".pth", ".pt", ".weights.h5", ".keras")):
            raise ValueError(
                "`weights` must be None, 'imagenet', or the path or URL of a .pth, .weights.h5 or "
                f".keras file. Received: weights={text!r}"
            )
        if not os.path.isfile(text):
            raise ValueError(f"`weights` names a file that does not exist: {text!r}.")
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
    """Loads what `weights=` of a model function names into the model.

    Args:
        model: a model just built.
        weights: "imagenet", a path or a URL, already checked.
        variant: name of the model's row.

    Raises:
        ValueError: the file is not what it should be or does not fit the model.
    """
    text = os.fspath(weights)
    if text == "imagenet":
        # The cached file is of the plain model: take over what this one has of it.
        plain = _released_classifier(variant)
        load_official_weights(model, official_state_dict(plain))
    elif is_url(text) and not text.partition("#")[0].endswith((".weights.h5", ".keras")):
        load_official_weights(model, download(text))
    elif is_url(text):
        _load_own_weights(model, download(text))
    elif text.endswith((".weights.h5", ".keras")):
        _load_own_weights(model, text)
    else:
        load_official_weights(model, text)


def _released_classifier(variant):
    """The plain classifier with the official weights, converted once and then cached."""
    name = OFFICIAL_FILES[variant]
    converted = cache_folder() / f"{name.removesuffix('.pth')}.weights.h5"
    plain = build_classifier(RegionViTBackbone.from_variant(variant))
    if converted.is_file():
        plain.load_weights(converted)
        return plain
    checkpoint = pathlib.Path(download(RELEASE + name))
    load_official_weights(plain, checkpoint)
    aside = converted.with_name(f"{os.getpid()}-{converted.name}")
    plain.save_weights(aside)
    os.replace(aside, converted)
    checkpoint.unlink()
    return plain


def _load_own_weights(model, path):
    """Loads a `.weights.h5` or the weights in a `.keras`, whose configuration is never read."""
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = f"{folder}/mine.weights.h5", f"{folder}/theirs.weights.h5"
        try:
            if path.endswith(".keras"):
                with zipfile.ZipFile(path) as archive, open(theirs, "wb") as file:
                    shutil.copyfileobj(archive.open("model.weights.h5"), file)
            else:
                shutil.copyfile(path, theirs)
            model.save_weights(mine)
            with h5py.File(mine) as wanted, h5py.File(theirs, "r+") as found:
                problems = _fit(found, wanted)
            if problems:
                raise ValueError("; ".join(problems[:4]) + ("; ..." if problems[4:] else ""))
            model.load_weights(theirs)
        except (zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
            reason = str(error).strip().splitlines()
            raise ValueError(
                f"{path} does not hold the weights of the model {model.name!r}: "
                f"{reason[0] if reason else type(error).__name__}"
            ) from error


def _fit(found, wanted):
    """Resizes in `found` what depends on the window; says what still differs from `wanted`."""
    problems = []

    def visit(name, item):
        shape = getattr(item, "shape", None)
        if shape is None:
            return
        if name not in found:
            problems.append(f"{name} is missing")
        elif found[name].shape != shape:
            value = _resized(name, found[name], shape)
            if value is None:
                problems.append(f"{name} has the shape {found[name].shape} for {shape}")
            else:
                del found[name]
                found[name] = value

    wanted.visititems(visit)
    return problems


def _resized(name, dataset, shape):
    """A bias table or regional kernel for the window that `shape` tells, or `None`."""
    if len(dataset.shape) != len(shape) or dataset.size > 100 * math.prod(shape):
        return None  # no window is ten times another
    value = dataset[()]
    if name.endswith("/attention/vars/0") and value.shape[0] == shape[0]:
        return official.resize_table(value, shape)
    if "/regional_tokenizer/" in name and value.shape[2:] == shape[2:]:
        kernel = official.resize_bicubic(value.transpose(2, 3, 0, 1), shape[:2])
        return kernel.transpose(2, 3, 0, 1)
    return None
