"""Detectors and segmenters as they are served: encoded images to boxes or masks of their size.

What is no SavedModel yet becomes one for as long as it is needed, so that predictions are those of
serving, bit for bit. H, W: rows and columns of an image; n: detections of one.
"""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_regionvit.export import LABELS, read_card
from keras_regionvit.export.model_card import CARD
from keras_regionvit.files import one_line
from training.prediction.exporting import export_dense
from training.prediction.labels import read_labels
from training.prediction.opened import open_keras
from training.prediction.predictor import PROTOCOL, find_model
from training.runs.trained import read_info


class DensePredictor:
    """A detector or a segmenter that takes encoded images.

    Args:
        model: a SavedModel's folder, a `.keras` file or the folder of a run.
        checkpoint: of a run, "best" or "last"; by default what it has exported or, where it has
            not come so far, the best.

    Attributes:
        labels: names of the classes, their numbers where the model has no names.
        category_ids: the data set's own number of each class, a tuple; `None` if not known.

    Raises:
        ValueError: there is no such model, or it cannot be read.

    Example:

    >>> (found,) = DensePredictor("runs/detector")([open("photo.jpg", "rb").read()])
    >>> found["boxes"].shape
    (7, 4)
    """

    def __init__(self, model, checkpoint=None):
        path = find_model(model, checkpoint)
        with contextlib.ExitStack() as stack:
            if not (path / PROTOCOL).is_file():
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                path = export_dense(open_keras(path, checkpoint), Path(folder) / "run" / "1")
            self._open(path)

    def _open(self, path):
        card = read_card(path) if (path / CARD).exists() else {}
        try:
            self._loaded = tf.saved_model.load(str(path))  # it holds the weights
            self._function = self._loaded.signatures["serving_default"]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise ValueError(f"--model {path} cannot be loaded: {one_line(error)}") from None
        names = read_labels(path / LABELS) if (path / LABELS).exists() else None
        self.labels = names or [str(i) for i in range(card.get("classes", 256))]
        known = card.get("category_ids")
        if known is None:  # a run's own model lies in its folder
            known = (read_info(path.resolve().parent.parent) or {}).get("category_ids")
        known = tuple(known) if isinstance(known, (list, tuple)) else ()
        self.category_ids = known if len(known) == len(self.labels) else None

    def __call__(self, encoded):
        """Predicts images.

        Args:
            encoded: list of bytes, each a JPEG, PNG, GIF (its first frame) or BMP, or what cannot
                be read.

        Returns:
            A list with a dict for each: "valid", a bool; and of a valid one either "boxes"
            float32 (n, 4), xyxy in the image's pixels, "scores" float32 and "classes" int32 (n,),
            the best first; or "mask", uint8 (H, W), classes from 0. A Mask R-CNN also gives
            "masks", n PNGs of the image's size, not 0 on the object, a Keypoint R-CNN "keypoints"
            float32 (n, K, 3), x and y in the image's pixels and a score.
        """
        answer = self._function(image_bytes=tf.constant(encoded, tf.string))
        rows = {name: value.numpy() for name, value in answer.items()}
        return [_one({name: value[i] for name, value in rows.items()}) for i in range(len(encoded))]


def _one(row):
    """The prediction of one image."""
    if not row["valid"]:
        return {"valid": False}
    if "mask_png" in row:
        return {"valid": True, "mask": np.asarray(tf.io.decode_png(row["mask_png"], 1))[..., 0]}
    known = ("boxes", "scores", "classes", "masks", "keypoints")
    found = {name: row[name][: row["count"]] for name in known if name in row}
    return {"valid": True, **found}
