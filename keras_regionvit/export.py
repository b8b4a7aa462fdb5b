"""Models as TensorFlow SavedModels, to be served without this package."""

import os
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

# Files of a SavedModel that TensorFlow carries along and leaves to others to read.
LABELS = Path("assets.extra", "labels.txt")


def export_saved_model(model, path, labels=None):
    """Writes a SavedModel with the signature `serving_default`, whole or not at all.

    The signature maps `images`, float32 (B, H, W, channels) with any B, to `{"probabilities":
    float32 (B, classes)}`. TensorFlow Serving wants `path` to be a version number in a folder
    of its own, such as `saved_model/1`.

    Args:
        model: a classifier that gives probabilities.
        path: the folder to make, which must not exist yet; its parents are made.
        labels: optional names of the classes, one for each; kept in `assets.extra/labels.txt`,
            one a line.

    Raises:
        ValueError: `path` exists, or `labels` does not fit the model.

    Example:

    >>> export_saved_model(model, "shirts/1", labels=["shirt", "other"])
    >>> serve = tf.saved_model.load("shirts/1").signatures["serving_default"]
    >>> serve(images=tf.zeros((1, 28, 28, 1)))["probabilities"]
    """
    path = Path(path)
    if path.exists():
        raise ValueError(f"`path` must not exist yet, so that nothing is lost. Received: {path}")
    if labels is not None:
        labels = [str(label) for label in labels]
        classes = model.output.shape[-1]
        if len(labels) != classes or any(not s or s.splitlines() != [s] for s in labels):
            raise ValueError(
                f"`labels` must have one line of text for each of the {classes} classes. "
                f"Received: {labels}"
            )
    signature = tf.TensorSpec((None, *model.input.shape[1:]), tf.float32, name="images")

    @tf.function(input_signature=[signature])
    def serve(images):
        return {"probabilities": tf.cast(model(images, training=False), tf.float32)}

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        archive = keras.export.ExportArchive()
        serve.get_concrete_function()
        archive.add_endpoint("serving_default", serve)  # track() would write the weights twice
        archive.write_out(str(aside), verbose=False)
        if labels is not None:
            (aside / LABELS).parent.mkdir(exist_ok=True)
            (aside / LABELS).write_text("".join(f"{label}\n" for label in labels), "utf-8")
        aside.chmod(0o755)  # mkdtemp's folders are private
        os.rename(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
