"""Models as TensorFlow SavedModels, to be served without this package."""

import contextlib
import dataclasses
import os
import platform
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_regionvit.export.model_card import write_card
from keras_regionvit.export.signatures import classifying, featuring, parts_of, plain, rebuilt
from keras_regionvit.export.warmup import WARMUP, write_warmup
from keras_regionvit.images.preprocessing import Preprocessing
from keras_regionvit.ops.layer_norm import norms_for_other_runtimes
from keras_regionvit.version import VERSION

__all__ = ["LABELS", "Preprocessing", "export_saved_model"]

# Files of a SavedModel that TensorFlow carries along and leaves to others to read.
LABELS = Path("assets.extra", "labels.txt")


def export_saved_model(
    model,
    path,
    labels=None,
    *,
    preprocessing=None,
    top_k=5,
    features=False,
    precision=None,
    any_size=False,
    card=None,
):
    """Writes a SavedModel, whole or not at all.

    With `preprocessing` its signatures are `serving_default` of `image_bytes`, string (B,):
    JPEG, PNG, GIF (the first frame) or BMP; and `predict_tensor` of `images`, float32 (B, S, S,
    channels), preprocessed. Both give `probabilities` (B, classes) and the best k classes, as
    `scores` float32, `classes` int32 and `labels` string (B, k). `serving_default` also gives
    `valid` bool (B,): a picture that cannot be read has false, zeros and empty strings, and
    changes nothing for the others. A request of another rank or dtype fails with
    INVALID_ARGUMENT.

    Without, there is `serving_default` alone, `images` -> `probabilities`, for other runtimes:
    norms are written as OpenVINO and others know them, which TensorFlow computes 3% slower.

    The folder also has the warm-up requests of TensorFlow Serving, which wants `path` to be a
    version number in a folder of its own, and `assets.extra/model_card.json`.

    Args:
        model: a classifier that gives probabilities.
        path: the folder to make, which must not exist yet; its parents are made.
        labels: optional names of the classes, one for each; kept in `assets.extra/labels.txt`,
            one a line, and as an asset. Without, `labels` has the classes in figures.
        preprocessing: optional `Preprocessing`, what becomes of a picture before the model.
        top_k: k; all classes if there are fewer.
        features: whether to add `features_tensor` of `images`, with `embedding` and the pyramid
            levels `P2` ... `P5`; and with `preprocessing` `features` of `image_bytes`.
        precision: "float32" or "bfloat16" inside the backbone; `None` as the model is.
        any_size: whether signatures of `images` take any height and width.
        card: optional dict of plain data to add to the card, such as `recipe` and `metrics`.

    Raises:
        ValueError: `path` exists, or an argument does not fit the model.

    Example:

    >>> export_saved_model(model, "animals/1", names, preprocessing=Preprocessing(size=224))
    >>> serve = tf.saved_model.load("animals/1").signatures["serving_default"]
    >>> serve(image_bytes=tf.constant([open("cat.jpg", "rb").read()]))["labels"]
    """
    path = Path(path)
    if path.exists() or path.is_symlink():
        raise ValueError(f"`path` must not exist yet, so that nothing is lost. Received: {path}")
    labels = _checked_labels(labels, model.output.shape[-1])
    model = rebuilt(model, precision, any_size)
    if preprocessing is not None:
        _check_fit(model, preprocessing, top_k)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        aside.mkdir(0o700)  # in here, so that no signal can come between
        functions = _write_model(model, aside, labels, preprocessing, top_k, features)
        (aside / WARMUP).parent.mkdir(exist_ok=True)
        if labels is not None:
            (aside / LABELS).write_text("".join(f"{label}\n" for label in labels), "utf-8")
        write_warmup(aside / WARMUP, _requests(model, functions, preprocessing))
        write_card(aside, _facts(model, functions, preprocessing) | (card or {}))
        for file_or_folder in (*aside.rglob("*"), aside):
            _to_disk(file_or_folder)
        aside.chmod(0o755)
        os.rename(aside, path)
        _to_disk(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _write_model(model, folder, labels, preprocessing, top_k, features):
    """Writes what TensorFlow reads; returns the functions by their signatures' names."""
    archive = keras.export.ExportArchive()
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        if preprocessing is None:
            stack.enter_context(norms_for_other_runtimes())
            functions = plain(model)
        else:
            table = None
            if labels is not None:
                table = _label_table(Path(scratch, "labels.txt"), labels)
                archive.track(table)
            top_k = min(top_k, model.output.shape[-1])
            functions = classifying(model, preprocessing, table, top_k)
        if features:
            functions |= featuring(model, preprocessing)
        for name, function in functions.items():
            archive.add_endpoint(name, function)  # track(model) would write the weights twice
        archive.write_out(str(folder), verbose=False)
    return functions


def _label_table(path, labels):
    path.write_text("".join(f"{label}\n" for label in labels), "utf-8")
    lines = tf.lookup.TextFileInitializer(
        str(path),
        key_dtype=tf.int64,
        key_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        value_dtype=tf.string,
        value_index=tf.lookup.TextFileIndex.WHOLE_LINE,
    )
    return tf.lookup.StaticHashTable(lines, default_value="")


def _requests(model, functions, preprocessing):
    """A request for each signature, as it comes and as it may be batched."""
    height, width, channels = model.input.shape[1:]
    size = preprocessing.size if preprocessing else 224
    images = np.zeros((1, height or size, width or size, channels), "float32")
    picture = tf.io.encode_png(np.zeros((size, size, 3), "uint8")).numpy()
    for name, function in functions.items():
        for count in (1, 8) if "bytes" in _input(function) else (1,):
            value = [picture] * count if "bytes" in _input(function) else images
            yield name, {_input(function): value}


def _facts(model, functions, preprocessing):
    """What the card says of any model."""
    try:
        policy = parts_of(model)[1].policy.name
    except ValueError:
        policy = model.dtype_policy.name
    return {
        "name": model.name,
        "parameters": model.count_params(),
        "compute_dtype": keras.dtype_policies.get(policy).compute_dtype,
        "images": list(model.input.shape[1:]),
        "classes": model.output.shape[-1],
        "preprocessing": preprocessing and dataclasses.asdict(preprocessing),
        "signatures": {
            name: {"input": _input(function), "outputs": sorted(_outputs(function))}
            for name, function in functions.items()
        },
        "versions": {
            "keras_regionvit": VERSION,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _input(function):
    return function.input_signature[0].name


def _outputs(function):
    return function.get_concrete_function().structured_outputs


def _checked_labels(labels, classes):
    if labels is None:
        return None
    labels = [str(label) for label in labels]
    if len(labels) != classes or any(not s or s.splitlines() != [s] for s in labels):
        raise ValueError(
            f"`labels` must have one line of text for each of the {classes} classes. "
            f"Received: {labels}"
        )
    return labels


def _check_fit(model, preprocessing, top_k):
    """That pictures so preprocessed are what the model takes, and that it gives probabilities."""
    side, made = tuple(model.input.shape[1:]), preprocessing.size
    for size, given in zip(side, (made, made, preprocessing.channels), strict=True):
        if size not in (None, given):
            raise ValueError(
                f"`preprocessing` must make images {side}, as the model takes them. Received: "
                f"{preprocessing}"
            )
    if not isinstance(top_k, int) or top_k < 1:
        raise ValueError(f"`top_k` must be a positive integer. Received: {top_k!r}")
    activation = getattr(model.layers[-1], "activation", None)
    if getattr(activation, "__name__", None) not in ("softmax", "sigmoid"):
        raise ValueError(
            "`model` must end in a softmax or a sigmoid, so that it gives probabilities. "
            f"Received the last layer: {model.layers[-1].name}"
        )


def _to_disk(path):
    """Has a file or folder written out, so that a crash cannot leave an empty one behind."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
