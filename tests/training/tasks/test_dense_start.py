"""What detectors and segmenters start from: files of a classifier, a backbone, another detector."""

import keras
import numpy as np
import pytest

from keras_regionvit import build_classifier, official_state_dict
from tests.keras_regionvit.weights.test_pretrained import write_release
from training.recipes import catalogue
from training.tasks import open_task
from training.tasks.classification import build_backbone

INFO = {"class_names": ("a", "b"), "category_ids": (1, 2)}


def task_of(name, weights=""):
    changes = {f"{name}.width": 8, "model.weights": str(weights)}
    changes |= {"model.peg": False, "model.downsample": "depthwise"}  # one backbone for both
    return open_task(catalogue.smoke(f"quickstart_{name}").with_values(changes))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files by what they hold; and the backbone that is in all of them."""
    folder = tmp_path_factory.mktemp("start")
    keras.utils.set_random_seed(1)
    detection, segmentation = task_of("detection"), task_of("segmentation")
    detector = detection.build_model({"class_names": ("x", "y", "z"), "category_ids": (1, 2, 3)})
    backbone = detector.backbone
    classifier = build_classifier(build_backbone(segmentation.recipe), classes=5)
    for variable, value in zip(classifier.variables, values_of(classifier, backbone), strict=True):
        variable.assign(value)
    found = {}
    for name, model in {
        "classifier": classifier,
        "backbone": backbone,
        "detector": detector,
        "saved_detector": detection.for_users(detector, {"class_names": ("x", "y", "z")}),
    }.items():
        for ending in (".keras", ".weights.h5"):
            found[name + ending] = folder / (name + ending)
            (model.save if ending == ".keras" else model.save_weights)(found[name + ending])
        if name in ("classifier", "detector"):  # what the official release has
            found[name + ".pth"] = folder / (name + ".pth")
            write_release(found[name + ".pth"], official_state_dict(model))
    return found, {v.path: np.array(v) for v in backbone.weights}


def values_of(classifier, backbone):
    """The classifier's values, those of the backbone's variables taken from it."""
    own = {v.path: np.array(v) for v in backbone.weights}
    return [own.get(v.path, np.array(v)) for v in classifier.variables]


KINDS = ["classifier", "backbone", "detector", "saved_detector"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [kind + ending for kind in KINDS for ending in (".keras", ".weights.h5")]
    + ["classifier.pth", "detector.pth"],
)
def test_the_backbone_is_taken(files, file):
    paths, expected = files
    for name in ("detection", "segmentation"):
        task = task_of(name, paths[file])
        keras.utils.set_random_seed(2)
        model = task.build_model(INFO)
        task.load_start(model)
        for variable in model.backbone.weights:
            np.testing.assert_array_equal(variable, expected[variable.path], err_msg=variable.path)
