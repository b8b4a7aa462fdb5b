"""Models as TensorFlow SavedModels, to be served without this package.

With `preprocessing` its signatures are `serving_default` of `image_bytes`, string (B,): JPEG,
PNG, GIF (the first frame) or BMP; `predict_pixels` of `images`, float32 (B, S, S, C), pixels on
0..255, which are normalised inside, never by the client; and `predict_tensor` of `images` as the
Keras model itself takes them. All give `probabilities` (B, classes); the best k classes, as
`scores` float32, `classes` int32 and `labels` string (B, k); and `valid` bool (B,): an image that
cannot be read, or numbers that are NaN or infinite, have false, zeros and empty strings, and change
nothing for the others. A request of another rank or dtype fails with INVALID_ARGUMENT.

With `tensors` there is `serving_default` alone, `images` -> `probabilities`, for other
runtimes: norms are written as OpenVINO and others know them, which TensorFlow computes 3%
slower. Its `images` are pixels on 0..255, too, and a row that is not finite gives NaN. Only
without `preprocessing`, where nobody knows the statistics, are they as the Keras model takes
them.

The folder also has warm-up requests of TensorFlow Serving, which wants `path` to be a version
number in a folder of its own, and `assets.extra/model_card.json`.
"""

import contextlib
import dataclasses
import os
import platform
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_regionvit.checks.kinds import flag, refuse, shown
from keras_regionvit.export.model_card import LABELS, write_card
from keras_regionvit.export.signatures import (
    check_fit,
    classification_signatures,
    feature_signatures,
    tensor_signatures,
)
from keras_regionvit.export.structure import check_classifier, classifier_layers, rebuilt
from keras_regionvit.export.warmup import WARMUP, write_warmup
from keras_regionvit.files import replacing_folder
from keras_regionvit.ops.layer_norm import norms_for_other_runtimes
from keras_regionvit.version import VERSION


def export_saved_model(
    model,
    path,
    labels=None,
    *,
    preprocessing=None,
    tensors=False,
    top_k=5,
    features=False,
    precision=None,
    any_size=False,
    card=None,
):
    """Writes a SavedModel, whole or not at all.

    Its signatures are described at the top of this module.

    Args:
        model: any `keras.Model` of images that ends in scores of classes: a softmax, a sigmoid, or
            the logits of a Dense layer, of which a softmax then makes probabilities. `precision`,
            `any_size` and `features` need one of `build_classifier` or like it.
        path: the folder to make, which must not exist yet; its parents are made.
        labels: optional names of the classes, kept in `assets.extra/labels.txt`, one a line, and
            as an asset. Without, classes are named by their numbers.
        preprocessing: optional `Preprocessing`, what becomes of an image before the model.
        tensors: whether to leave `image_bytes` out, as is done without `preprocessing`.
        top_k: k; all classes if there are fewer.
        features: whether to add `features` of `image_bytes` and `features_pixels` and
            `features_tensor` of `images`, with `embedding` and `P2` ... `P5`; without
            `preprocessing` the last alone.
        precision: "float32" or "bfloat16" inside the backbone; `None` as the model is.
        any_size: whether signatures of `images` take any height and width.
        card: optional dict of plain data to add to the card, such as `recipe` and `metrics`.

    Raises:
        ValueError: `path` exists, or an argument is out of range or does not fit the model.
        OSError: the folder cannot be written.

    Example:

    >>> export_saved_model(model, "animals/1", names, preprocessing=Preprocessing(size=224))
    >>> serve = tf.saved_model.load("animals/1").signatures["serving_default"]
    >>> serve(image_bytes=tf.constant([open("cat.jpg", "rb").read()]))["labels"]
    """
    model = check_classifier(model)
    labels = _checked_labels(labels, model.output.shape[-1])
    _check_types(path, card, tensors=tensors, features=features, any_size=any_size)
    model = rebuilt(model, precision, any_size)
    if features:
        classifier_layers(model)
    if preprocessing is not None:
        check_fit(model, preprocessing, top_k)
    tensors = tensors or preprocessing is None
    with replacing_folder(path) as aside:
        functions = _write_model(model, aside, labels, preprocessing, tensors, top_k, features)
        (aside / LABELS).parent.mkdir(exist_ok=True)
        if labels is not None:
            (aside / LABELS).write_text(_lines(labels), "utf-8")
        write_warmup(aside / WARMUP, _requests(model, functions, preprocessing))
        write_card(aside, _about(model, functions, preprocessing) | (card or {}))


def _check_types(path, card, **flags):
    for name, value in flags.items():
        flag(name, value)
    if not isinstance(path, (str, os.PathLike)):
        refuse("path", "the name of a folder", path)
    if not isinstance(card, (dict, type(None))):
        refuse("card", "None or a dict of plain data", card)


def _write_model(model, folder, labels, preprocessing, tensors, top_k, features):
    """Writes what TensorFlow reads; returns the functions by their signatures' names."""
    archive = keras.export.ExportArchive()
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        if tensors:
            stack.enter_context(norms_for_other_runtimes())
            functions = tensor_signatures(model, preprocessing)
        else:
            table = None
            if labels is not None:
                table = _label_table(Path(scratch, LABELS.name), labels)
                archive.track(table)
            top_k = min(top_k, model.output.shape[-1])
            functions = classification_signatures(model, preprocessing, table, top_k)
        if features:
            found = feature_signatures(model, preprocessing)
            functions |= {k: v for k, v in found.items() if not (tensors and k == "features")}
        for name, function in functions.items():
            archive.add_endpoint(name, function)  # track(model) would write the weights twice
        archive.write_out(str(folder), verbose=False)
    return functions


def _label_table(path, labels):
    """A lookup table from class to name that a SavedModel keeps as the file `path`."""
    path.write_text(_lines(labels), "utf-8")
    lines = tf.lookup.TextFileInitializer(
        str(path),
        key_dtype=tf.int64,
        key_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        value_dtype=tf.string,
        value_index=tf.lookup.TextFileIndex.WHOLE_LINE,
    )
    return tf.lookup.StaticHashTable(lines, default_value="")


def _lines(labels):
    return "".join(f"{label}\n" for label in labels)


def _requests(model, functions, preprocessing):
    """A request for each signature, as it comes and as it may be batched."""
    height, width, channels = model.input.shape[1:]
    size = preprocessing.size if preprocessing else 224
    images = np.zeros((1, height or size, width or size, channels), "float32")
    encoded = tf.io.encode_png(np.zeros((size, size, 3), "uint8")).numpy()
    for name, function in functions.items():
        for count in (1, 8) if "bytes" in _input(function) else (1,):
            value = [encoded] * count if "bytes" in _input(function) else images
            yield name, {_input(function): value}


def _about(model, functions, preprocessing):
    """What the card says of any model.

    Its "preprocessing" is what becomes of an image before `images`, if `image_bytes` are not taken.
    """
    encoded = "image_bytes" in map(_input, functions.values())
    outside = preprocessing
    if preprocessing and not encoded:
        channels = preprocessing.channels
        outside = dataclasses.replace(preprocessing, mean=(0.0,) * channels, std=(1.0,) * channels)
    try:
        policy = classifier_layers(model)[1].policy.name
    except ValueError:
        policy = model.dtype_policy.name
    return {
        "name": model.name,
        "parameters": model.count_params(),
        "compute_dtype": keras.dtype_policies.get(policy).compute_dtype,
        "images": list(model.input.shape[1:]),
        "classes": model.output.shape[-1],
        "preprocessing": preprocessing and dataclasses.asdict(outside),
        "images_are": "pixels on 0..255, normalised inside"
        if preprocessing
        else "as the Keras model takes them",
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
    if isinstance(labels, (str, bytes)) or not hasattr(labels, "__iter__"):
        refuse("labels", f"None or a sequence of {classes} names", labels)
    labels = [str(label) for label in labels]
    if len(labels) != classes or any(not s or s.splitlines() != [s] for s in labels):
        raise ValueError(
            f"`labels` must have one line of text for each of the {classes} classes. "
            f"Received: {len(labels)}, {shown(labels)}"
        )
    return labels
