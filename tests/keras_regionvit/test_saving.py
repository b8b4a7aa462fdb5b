"""Saved files: bit-exact through a fresh process, and readable for ever."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_regionvit
from tests.support import saved_models


@pytest.mark.slow
def test_round_trip_through_a_fresh_process(tmp_path):
    expected = {}
    for name, build in saved_models.BUILDERS.items():
        model = build()
        saved_models.perturb(model)
        model.save(tmp_path / f"{name}.keras")
        model.save_weights(tmp_path / f"{name}.weights.h5")
        expected[name] = saved_models.outputs(name, model)
    script = pathlib.Path(saved_models.__file__)
    subprocess.run([sys.executable, script, tmp_path], check=True, cwd=script.parents[2])
    for name, arrays in expected.items():
        for ending in ("keras", "weights.h5"):
            found = np.load(tmp_path / f"{name}.{ending}.npz")
            assert set(found) == set(arrays)
            for key, array in arrays.items():
                np.testing.assert_array_equal(found[key], array)


@pytest.mark.parametrize("name", ["classifier_any", "backbone_fixed"])
@pytest.mark.parametrize("ending", ["keras", "weights.h5"])
def test_files_of_earlier_versions(golden, name, ending):
    for folder in golden.glob("saved_*"):
        path = folder / f"{name}.{ending}"
        if ending == "keras":
            model = keras.models.load_model(path)
        else:
            model = saved_models.BUILDERS[name]()
            model.load_weights(path)
        expected = np.load(folder / f"{name}.expected.npz")
        for key, array in saved_models.outputs(name, model).items():
            np.testing.assert_allclose(array, expected[key], rtol=1e-5, atol=1e-5)


def test_reloaded_backbone_is_whole():
    backbone = saved_models.BUILDERS["backbone_any"]()
    again = keras_regionvit.RegionViTBackbone.from_config(backbone.get_config())
    assert again.get_config() == backbone.get_config()
    assert list(again.pyramid_outputs) == ["P2", "P3"]
    assert again.pyramid_level_inputs == {"P2": "P2", "P3": "P3"}
    assert type(again.pyramid_outputs) is dict
    for level, name in again.pyramid_level_inputs.items():
        assert again.get_layer(name).output is again.pyramid_outputs[level]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_pyramid_model_reloads(dtype, tmp_path):
    """What a detector is built on: a functional model of the backbone's inner layers."""
    backbone = keras_regionvit.RegionViTBackbone(
        (8, 16), (1, 1), None, 2, input_shape=(None, None, 3), dtype=dtype, peg=True
    )
    pyramid = keras.Model(backbone.input, backbone.pyramid_outputs)
    pyramid.save(tmp_path / "pyramid.keras")
    again = keras.models.load_model(tmp_path / "pyramid.keras")
    images = np.random.default_rng(0).standard_normal((1, 24, 20, 3)).astype("float32")
    for level, found in again(images).items():
        assert found.dtype == dtype.removeprefix("mixed_")
        np.testing.assert_array_equal(found, pyramid(images)[level])


def test_weights_of_a_trained_model_fit_one_without_drop_path(tmp_path):
    trained = keras_regionvit.RegionViTBackbone((16, 32), (1, 1), window_size=3, drop_path_rate=0.2)
    plain = keras_regionvit.RegionViTBackbone((16, 32), (1, 1), window_size=3)
    trained.save_weights(tmp_path / "a.weights.h5")
    plain.load_weights(tmp_path / "a.weights.h5")
    plain.save_weights(tmp_path / "b.weights.h5")
    trained.load_weights(tmp_path / "b.weights.h5")
    for a, b in zip(trained.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_quantized_model_reloads(tmp_path):
    model = saved_models.BUILDERS["classifier_fixed"]()
    images = saved_models.images("classifier_fixed")
    before = model.predict(images, verbose=0)
    model.quantize("int8")
    quantized = model.predict(images, verbose=0)
    assert 0 < np.abs(quantized - before).max() < 0.02
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(images, verbose=0), quantized)


def test_lora_reaches_every_dense_layer():
    model = saved_models.BUILDERS["classifier_fixed"]()
    dense = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Dense)]
    assert len(dense) == 3 * 4 + 1
    before = model(saved_models.images("classifier_fixed"))
    for layer in dense:
        layer.enable_lora(2)
    assert sum("lora" in v.path for v in model.trainable_weights) == 2 * len(dense)
    for layer in dense:
        layer.lora_kernel_b.assign(keras.ops.ones_like(layer.lora_kernel_b))
    after = model(saved_models.images("classifier_fixed"))
    assert np.abs(after - before).max() > 1e-4


def test_mixed_bfloat16_trains():
    backbone = keras_regionvit.RegionViTBackbone(
        (16, 32), (1, 2), window_size=3, drop_path_rate=0.1, dtype="mixed_bfloat16"
    )
    model = keras_regionvit.build_classifier(backbone, classes=5)
    images = saved_models.images("any")
    probabilities = model.predict(images, verbose=0)
    assert probabilities.dtype == "float32"
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-6)
    assert backbone.get_layer("stage1").compute_dtype == "bfloat16"
    model.compile(keras.optimizers.AdamW(1e-3), "sparse_categorical_crossentropy")
    losses = model.fit(images, np.array([1, 2]), epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
