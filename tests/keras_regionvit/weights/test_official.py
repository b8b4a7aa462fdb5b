"""Official checkpoints: names, layouts, strictness, window change."""

import re

import keras
import numpy as np
import pytest

from keras_regionvit import (
    RegionViTBackbone,
    build_classifier,
    load_official_weights,
    official_state_dict,
)
from keras_regionvit.weights import official, resize
from tests.support import synthetic

SMALL = {"embed_dims": (16, 32), "depths": (1, 2), "window_size": 3}


def backbone(**arguments):
    return RegionViTBackbone(**{**SMALL, "input_shape": (24, 36, 3), **arguments})


@pytest.fixture(scope="module")
def source():
    """A checkpoint with PEG and norms in it, from a model of its own."""
    model = build_classifier(backbone(peg=True, pyramid_norm=True), classes=5)
    shapes = {key: value.shape for key, value in official_state_dict(model).items()}
    return synthetic.state_dict(shapes)


@pytest.mark.parametrize("name", ["tiny", "tiny_w14_peg_detection", "medium_w14"])
def test_keys_and_shapes_are_the_official_ones(name, manifests):
    row = re.match(r"[a-z]+(_w14)?", name).group()
    extras = {"peg": "_peg" in name, "pyramid_norm": name.endswith("_detection")}
    model = build_classifier(RegionViTBackbone.from_variant(row, **extras))
    found = {key: list(value.shape) for key, value in official_state_dict(model).items()}
    assert found == manifests[name]


def test_there_and_back(source):
    model = build_classifier(backbone(peg=True, pyramid_norm=True), classes=5)
    assert load_official_weights(model, source) == []
    back = official_state_dict(model)
    assert back.keys() == source.keys()
    for key, value in source.items():
        np.testing.assert_array_equal(back[key], value, err_msg=key)


@pytest.mark.parametrize("window_size", [2, 3, 4, 7, 14])
def test_table_order(window_size):
    """Entry (dy, dx) of the plain table is the official entry for key - query = (dy, dx)."""
    side = 2 * window_size - 1
    wrapped = np.arange(2 * side * side, dtype="float32").reshape(2, -1)
    plain = official.to_keras("layers.0.block.1.attn.rel_pos", wrapped, wrapped.shape)
    plain = plain.reshape(2, side, side)
    for dy in range(-window_size + 1, window_size):
        for dx in range(-window_size + 1, window_size):
            y, x = ((d + window_size // 2) % side for d in (dy, dx))
            official_entry = wrapped.reshape(2, side, side)[:, y, x]
            ours = plain[:, dy + window_size - 1, dx + window_size - 1]
            np.testing.assert_array_equal(ours, official_entry)


def test_bicubic_is_pytorchs(golden):
    arrays = np.load(golden / "bicubic.npz")
    for name in ("table", "kernel", "smaller"):
        expected = arrays[f"{name}_resized"]
        found = resize.resize_bicubic(arrays[name], expected.shape[-2:])
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_window_change_resizes_each_stage(source):
    model = build_classifier(backbone(peg=True, pyramid_norm=True, window_size=(4, 5)), classes=5)
    load_official_weights(model, source)
    stages = [model.layers[1].get_layer(f"stage{i}") for i in (1, 2)]
    for stage, window_size, layer in zip(stages, (4, 5), ("0", "1"), strict=True):
        wrapped = source[f"layers.{layer}.block.1.attn.rel_pos"].reshape(-1, 5, 5)
        plain = np.roll(wrapped, (1, 1), axis=(1, 2))
        expected = resize.resize_bicubic(plain, (2 * window_size - 1,) * 2)
        table = keras.ops.convert_to_numpy(stage.encoders[0].attention.position_bias_table)
        np.testing.assert_allclose(table.reshape(expected.shape), expected, atol=1e-6)
    kernel = model.layers[1].get_layer("regional_tokenizer").conv.kernel
    expected = resize.resize_bicubic(source["cls_token.proj.weight"], (16, 16))
    found = keras.ops.convert_to_numpy(kernel).transpose(3, 2, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_plus_and_w14_load_into_each_other():
    arguments = {"embed_dims": (8, 16), "depths": (1, 1)}
    plus = RegionViTBackbone(window_size=(4, 2), input_shape=(16, 16, 3), **arguments)
    equal = RegionViTBackbone(window_size=(4, 4), input_shape=(None, None, 3), **arguments)
    assert load_official_weights(equal, official_state_dict(plus)) == []
    assert load_official_weights(plus, official_state_dict(equal)) == []


def test_optional_keys_may_be_absent(source):
    model = build_classifier(backbone(peg=True, pyramid_norm=True), classes=5)
    load_official_weights(model, source)
    lacking = {
        key: value
        for key, value in source.items()
        if not key.startswith(("norm0", "norm1")) and ".peg." not in key
    }
    absent = load_official_weights(model, lacking)
    assert sorted(absent) == sorted(source.keys() - lacking.keys())
    after = official_state_dict(model)
    for key in absent:
        value = 1.0 if re.fullmatch(r"norm\d\.weight", key) else 0.0
        np.testing.assert_array_equal(after[key], np.full(source[key].shape, value))


def test_detector_file_into_backbone(source):
    detector = {f"backbone.bottom_up.model.{key}": value for key, value in source.items()}
    detector |= {"pixel_mean": np.zeros(3), "head.cls_score.weight": np.zeros((7, 7))}
    model = backbone(peg=True, pyramid_norm=True)
    assert load_official_weights(model, detector) == []
    for key, value in official_state_dict(model).items():
        np.testing.assert_array_equal(value, source[key])


def test_skip_head(source):
    model = build_classifier(backbone(peg=True, pyramid_norm=True), classes=11)
    before = keras.ops.convert_to_numpy(model.get_layer("predictions").kernel)
    with pytest.raises(ValueError, match=r"head\.weight: \(5, 32\) for \(11, 32\)"):
        load_official_weights(model, source)
    load_official_weights(model, source, skip_head=True)
    np.testing.assert_array_equal(model.get_layer("predictions").kernel, before)
    np.testing.assert_array_equal(model.get_layer("norm").gamma, source["norm.weight"])


def test_strict_and_untouched(source):
    model = build_classifier(backbone(peg=True, pyramid_norm=True), classes=5)
    before = official_state_dict(model)
    wrong = dict(source)
    del wrong["layers.1.block.2.attn.qkv.bias"]
    wrong["layers.7.block.1.norm0.weight"] = np.zeros(3)
    wrong["head.bias"] = np.zeros(6)
    wrong["layers.0.block.1.attn.rel_pos"] = np.zeros((1, 16))  # no (2M-1)^2
    with pytest.raises(ValueError) as error:
        load_official_weights(model, wrong)
    text = str(error.value)
    assert "missing layers.1.block.2.attn.qkv.bias;" in text
    assert "unexpected layers.7.block.1.norm0.weight;" in text
    assert "head.bias: (6,) for (5,)" in text
    assert "layers.0.block.1.attn.rel_pos: (1, 16) for (1, 25)" in text
    for key, value in official_state_dict(model).items():
        np.testing.assert_array_equal(value, before[key])


def test_extra_parts_of_a_file_are_not_dropped_silently(source):
    with pytest.raises(ValueError, match=r"unexpected .*peg"):
        load_official_weights(build_classifier(backbone(), classes=5), source)


def test_model_without_backbone():
    with pytest.raises(ValueError, match="`model` must be a RegionViTBackbone"):
        load_official_weights(keras.Sequential([keras.layers.Dense(1)]), {})
