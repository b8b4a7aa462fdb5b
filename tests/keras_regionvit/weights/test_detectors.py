"""Official detectors, loaded whole: equal outputs, other numbers of classes, their statistics."""

import gzip
import json

import keras
import numpy as np
import pytest

from keras_regionvit import (
    KeypointRCNN,
    MaskRCNN,
    RegionViTBackbone,
    RetinaNet,
    load_official_weights,
    official_state_dict,
)
from keras_regionvit.tasks.detection.region_heads import enlarged
from tests.support import synthetic

CLASS_KEYS = ["head.cls_score.weight", "head.cls_score.bias"]
# How the reference file samples each kind of output (channels last).
SAMPLES = {"": (3, 3, 9), "_logits": (4, 4, 13), "_deltas": (4, 4, 5)}


@pytest.fixture(scope="module")
def manifests(golden):
    return json.loads(gzip.decompress((golden / "manifests_detectors.json.gz").read_bytes()))


@pytest.fixture(scope="module")
def arrays(manifests):
    return synthetic.state_dict(manifests["retinanet_small"])


def detector(classes=80, **arguments):
    backbone = RegionViTBackbone.from_variant("small", pyramid_norm=True)
    return RetinaNet(backbone, classes, **arguments)


def distance(found, expected):
    return np.linalg.norm(np.float64(found) - expected) / np.linalg.norm(expected)


def test_equal_to_the_official_detector(arrays, golden, tmp_path):
    model = detector()
    assert load_official_weights(model, arrays) == []
    raw = keras.Model(model.input, model.raw_outputs)
    found = raw.predict(synthetic.image(224, 320, seed=20), verbose=0)
    expected = np.load(golden / "retinanet_small_224x320.npz")
    for level in (3, 4, 5, 6, 7):
        assert found[f"p{level}"].shape == tuple(expected[f"p{level}_shape"])
        for kind, (rows, columns, channels) in SAMPLES.items():
            name = f"p{level}{kind}"
            sampled = found[name][:, ::rows, ::columns, ::channels]
            assert distance(sampled, expected[name]) < 1e-5, name
    back = official_state_dict(model)
    assert set(back) == set(arrays)
    for key, value in back.items():
        np.testing.assert_array_equal(value, arrays[key])


@pytest.mark.parametrize(
    ("name", "kind", "seed"),
    [("mask_rcnn_small", MaskRCNN, 21), ("keypoint_rcnn_small", KeypointRCNN, 22)],
)
def test_equal_to_the_official_two_stage_detectors(name, kind, seed, manifests, golden):
    arrays = synthetic.state_dict(manifests[name])
    model = kind(RegionViTBackbone.from_variant("small", pyramid_norm=True))
    assert load_official_weights(model, arrays) == []
    raw = keras.Model(model.input, model.raw_outputs)
    found = raw.predict(synthetic.image(224, 320, seed=seed), verbose=0)
    expected = np.load(golden / f"{name}_224x320.npz")
    for level in (2, 3, 4, 5, 6):
        assert found[f"p{level}"].shape == tuple(expected[f"p{level}_shape"])
        sampled = found[f"p{level}"][:, ::4, ::4, ::9]
        assert distance(sampled, expected[f"p{level}"]) < 1e-5
        for key in (f"p{level}_objectness", f"p{level}_deltas"):
            assert distance(found[key][:, ::5, ::5], expected[key]) < 1e-5, key

    def regions(seed, *shape):
        return np.random.default_rng(seed).standard_normal((*shape, 256)).astype("float32")

    scores, deltas = model.box_head(regions(100 + seed, 4, 7, 7))
    assert distance(scores, expected["box_scores"]) < 1e-5
    assert distance(deltas, expected["box_deltas"]) < 1e-5
    cells = regions(200 + seed, 2, 14, 14)
    if kind is MaskRCNN:
        sampled = np.asarray(model.mask_head(cells))[:, ::5, ::5, ::7]
        assert distance(sampled, expected["mask_logits"]) < 1e-5
    else:
        assert model.keypoint_head(cells).shape == (2, 28, 28, 17)
        # the file has them at the size they are decoded at
        sampled = np.asarray(enlarged(model.keypoint_head(cells)))[:, ::5, ::5]
        assert distance(sampled, expected["keypoint_heatmaps"]) < 1e-5
    back = official_state_dict(model)
    assert set(back) == set(arrays)
    for key, value in back.items():
        np.testing.assert_array_equal(value, arrays[key])


def test_other_classes_and_keypoints_leave_the_layers_that_tell_them_apart(manifests):
    arrays = synthetic.state_dict(manifests["mask_rcnn_small"])
    backbone = RegionViTBackbone.from_variant("small", pyramid_norm=True)
    model = MaskRCNN(backbone, num_classes=3)
    left = ["box_predictor.cls_score", "box_predictor.bbox_pred", "mask_head.predictor"]
    kinds = ("weight", "bias")
    expected = {f"roi_heads.{layer}.{kind}" for layer in left for kind in kinds}
    assert set(load_official_weights(model, arrays)) == expected
    arrays = synthetic.state_dict(manifests["keypoint_rcnn_small"])
    model = KeypointRCNN(backbone, num_keypoints=5)
    expected = {f"roi_heads.keypoint_head.score_lowres.{kind}" for kind in kinds}
    assert set(load_official_weights(model, arrays)) == expected
    scores = np.asarray(model.get_layer("box_head").get_layer("region_scores").kernel)
    np.testing.assert_array_equal(scores.T, arrays["roi_heads.box_predictor.cls_score.weight"])


def test_another_number_of_classes_leaves_the_layer_that_tells_them_apart(arrays):
    model = detector(classes=3)
    before = [np.array(v) for v in model.get_layer("class_logits").weights]
    assert load_official_weights(model, arrays) == CLASS_KEYS
    for variable, value in zip(model.get_layer("class_logits").weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    tower = np.array(model.get_layer("class_tower1").kernel)
    np.testing.assert_array_equal(tower.transpose(3, 2, 0, 1), arrays["head.cls_subnet.2.weight"])
    assert load_official_weights(detector(), arrays, skip_head=True) == CLASS_KEYS


def test_the_statistics_of_pixels(arrays):
    layer = "pixel_normalization"
    model = detector(include_preprocessing=True)
    assert load_official_weights(model, arrays) == ["pixel_mean", "pixel_std"]
    np.testing.assert_allclose(model.get_layer(layer).mean, [103.53, 116.28, 123.675])
    np.testing.assert_allclose(model.get_layer(layer).std, [57.375, 57.12, 58.395])
    own = {
        "pixel_mean": np.array([1, 2, 3], "float32").reshape(3, 1, 1),
        "pixel_std": np.ones((3, 1, 1), "float32"),
        "anchor_generator.cell_anchors.0": np.zeros((9, 4), "float32"),
        "backbone.bottom_up.model.norm.weight": np.ones(768, "float32"),
    }
    assert load_official_weights(model, arrays | own) == []
    np.testing.assert_array_equal(model.get_layer(layer).mean, [1, 2, 3])
    assert load_official_weights(detector(), arrays | own) == []


def test_the_backbone_of_a_detector(arrays):
    backbone = RegionViTBackbone.from_variant("small", pyramid_norm=True)
    assert load_official_weights(backbone, arrays) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("head.bbox_pred.bias", None),
        ("backbone.fpn_lateral3.weight", np.zeros((256, 192, 3, 3), "float32")),
        ("roi_heads.box_head.fc1.weight", np.zeros((4, 4), "float32")),
        ("head.cls_subnet.0.bias", np.full(256, np.nan, "float32")),
    ],
)
def test_what_does_not_fit_changes_nothing(arrays, key, value):
    model = detector(classes=2)
    before = [np.array(v) for v in model.weights]
    wrong = {k: v for k, v in (arrays | {key: value}).items() if v is not None}
    with pytest.raises(ValueError, match=key.replace(".", r"\.")):
        load_official_weights(model, wrong)
    for variable, was in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(variable, was)
