"""What kind of model `--model` names, told from its files without loading it."""

import contextlib
import json
import zipfile
from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2

from keras_regionvit.files import open_regular
from training.prediction.opened import DENSE, IMAGES
from training.prediction.predictor import PROTOCOL, find_model
from training.runs.folder import read_values

# what the signature `serving_default` of a SavedModel gives
_GIVES = {"boxes": "detection", "mask_png": "segmentation"}
_MADE = {kind.__name__: task for kind, task in DENSE.items()}


def task_of(model, checkpoint=None):
    """The task of a model.

    Args:
        model: a SavedModel's folder, a `.keras` file or the folder of a run.
        checkpoint: of a run, "best" or "last".

    Returns:
        "detection", "segmentation", or "classification" for all else, also what cannot be read:
        what opens it says why.

    Example:

    >>> task_of("runs/quickstart_detection")
    'detection'
    """
    with contextlib.suppress(Exception):  # whatever damaged files raise
        path = find_model(model, checkpoint)
        if path.is_file():
            return _MADE.get(_class_name(path), IMAGES)
        if (path / PROTOCOL).is_file():
            return next((_GIVES[name] for name in _outputs(path) if name in _GIVES), IMAGES)
        return read_values(path)["recipe"].get("task", IMAGES)
    return IMAGES


def _class_name(path):
    """The name of a model's class in a `.keras` file."""
    with zipfile.ZipFile(path) as file, file.open("config.json") as config:
        return json.load(config)["class_name"]


def _outputs(folder: Path):
    """The names of what a SavedModel serves."""
    with open_regular(folder / PROTOCOL) as file:
        saved = saved_model_pb2.SavedModel.FromString(file.read())
    return saved.meta_graphs[0].signature_def["serving_default"].outputs
