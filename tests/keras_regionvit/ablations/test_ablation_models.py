"""Models with every switch: saved, trained, in bfloat16, compiled, exported, as a pyramid."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit import (
    RegionViTBackbone,
    build_classifier,
    load_official_weights,
    official_state_dict,
)
from keras_regionvit.export.saved_model import export_saved_model

ROOT = pathlib.Path(__file__).parents[3]
SHAPE = (12, 20, 3)  # 2x4 regions of 3x3 tokens, the last padded; then 1x2
SWIN = {"stem": "patch", "downsample": "patch_merging"}
VARIANTS = {
    "no regional tokens": {"regional_tokens": False},
    "separate weights": {"weight_sharing": False},
    "all keys": {"local_keys": "all"},
    "dense3": {"downsample": "dense3"},
    "dense2": {"downsample": "dense2"},
    "patch merging": SWIN,
    "no position": {"position": "none"},
    "absolute": {"position": "absolute"},
    "both": {"position": "both"},
    "overlap": {"overlap": True},
    "shifted window": {"regional_tokens": False, "attention": "shifted_window", **SWIN},
    "many": {"overlap": True, "local_keys": "all", "weight_sharing": False, "position": "both",
             "downsample": "dense2", "peg": True},
    "no regional tokens, peg": {"regional_tokens": False, "position": "none", "peg": True,
                                "pyramid_norm": True},
}  # fmt: skip
every_variant = pytest.mark.parametrize("name", VARIANTS)


def new_backbone(name, stages=2, **more):
    depths = (2, 1) if "attention" in VARIANTS[name] else (1, 1)
    arguments = {"stem": "conv1", "input_shape": SHAPE, **VARIANTS[name], **more}
    return RegionViTBackbone(
        (8, 16)[:stages],
        depths[:stages],
        num_heads=(2, 2)[:stages],
        window_size=3,
        patch_size=2,
        **arguments,
    )


def new_classifier(name, **more):
    """A classifier of one stage where that has what the variant switches."""
    arguments = {"stages": 2 if "downsample" in VARIANTS[name] else 1, **more}
    return build_classifier(new_backbone(name, **arguments), classes=3)


def images(count=2):
    return np.random.default_rng(0).standard_normal((count, *SHAPE)).astype("float32")


@every_variant
def test_round_trip(name, tmp_path):
    model = new_classifier(name, stages=2)
    config = json.loads(json.dumps(model.get_config()))
    assert [
        layer["config"] for layer in config["layers"] if layer["class_name"] == "RegionViTBackbone"
    ] == [json.loads(json.dumps(model.layers[1].get_config()))]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    backbone = again.layers[1]
    for switch, value in VARIANTS[name].items():
        assert getattr(backbone, switch) == value
    np.testing.assert_array_equal(again(images()), model(images()))


@every_variant
def test_pyramid(name):
    backbone = new_backbone(name)
    pyramid = keras.Model(backbone.input, backbone.pyramid_outputs)(images())
    assert {level: tuple(x.shape) for level, x in pyramid.items()} == {
        "P1": (2, 6, 10, 8),
        "P2": (2, 3, 5, 16),
    }
    outputs = backbone(images())
    assert list(outputs) == ["regional_tokens", "local_tokens"][not backbone.regional_tokens :]
    np.testing.assert_array_equal(outputs["local_tokens"], pyramid["P2"])


def test_a_pyramid_in_another_process(tmp_path):
    """Its layers are its own, so they must be imported before it is loaded, as README says."""
    backbone = new_backbone("many")
    pyramid = keras.Model(backbone.input, backbone.pyramid_outputs)
    pyramid.save(tmp_path / "pyramid.keras")
    np.save(tmp_path / "images.npy", images())
    code = (
        "import sys, keras, numpy as np; import keras_regionvit.ablations; "
        "model = keras.models.load_model('pyramid.keras'); "
        "np.save('P2.npy', model.predict(np.load('images.npy'), verbose=0)['P2'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    np.testing.assert_allclose(
        np.load(tmp_path / "P2.npy"), pyramid.predict(images(), verbose=0)["P2"], atol=1e-6
    )


@every_variant
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_fit_step(name, dtype):
    rates = {"drop_path_rate": 0.1, "dropout_rate": 0.1, "attention_dropout_rate": 0.1}
    model = new_classifier(name, dtype=dtype, **rates)
    plain = new_classifier(name)
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(model(images()), plain(images()), atol=1e-2)
    assert model.layers[1].get_layer("stage1").compute_dtype == dtype.removeprefix("mixed_")
    before = {v.path: keras.ops.convert_to_numpy(v) for v in model.trainable_variables}
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy",
                  run_eagerly=name not in COMPILED)  # fmt: skip
    history = model.fit(images(4), np.array([0, 1, 2, 0]), batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    still = [
        v.path
        for v in model.trainable_variables
        if np.array_equal(before[v.path], keras.ops.convert_to_numpy(v))
    ]
    assert set(still) <= untrained(model.layers[1])


def untrained(backbone):
    """Weights that a classifier has no use for: their tokens do not reach it."""
    if not backbone.regional_tokens:
        return set()
    return {f"stage{len(backbone.depths)}/encoder1/attention/position_bias_table"}


# "many" holds the switches that are left out
COMPILED = ["no regional tokens", "dense3", "patch merging", "absolute", "shifted window", "many"]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_by_xla(name):
    model = new_classifier(name)
    expected = model(images())
    model.compile(jit_compile=True)
    np.testing.assert_allclose(model.predict(images(), verbose=0), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@every_variant
def test_export(name, tmp_path):
    model = new_classifier(name)
    export_saved_model(model, tmp_path / "1", features=True)
    signatures = tf.saved_model.load(tmp_path / "1").signatures
    found = signatures["serving_default"](images=tf.constant(images()))["probabilities"]
    np.testing.assert_allclose(found, model(images()), rtol=1e-5, atol=1e-6)
    embedding = signatures["features_tensor"](images=tf.constant(images()))["embedding"]
    expected = keras.Model(model.input, model.get_layer("avg_pool").output)(images())
    np.testing.assert_allclose(embedding, expected, rtol=1e-4, atol=1e-5)


ANY_SIZE = ["no regional tokens", "all keys", "dense2", "patch merging", "overlap"]


@pytest.mark.parametrize("name", [*ANY_SIZE, "shifted window"])
def test_any_size(name):
    anywhere = new_backbone(name, input_shape=(None, None, 3))
    for size in [(29, 17), (4, 5)]:
        x = np.random.default_rng(0).standard_normal((1, *size, 3)).astype("float32")
        fixed = new_backbone(name, input_shape=(*size, 3))
        fixed.set_weights(anywhere.get_weights())
        for key, found in anywhere.predict(x, verbose=0).items():
            np.testing.assert_allclose(found, fixed(x)[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["no regional tokens", "overlap"])
def test_recomputation_changes_no_gradient(name):
    arguments = {"drop_path_rate": 0.5}

    def gradients(again):
        keras.utils.set_random_seed(0)
        model = new_classifier(name, gradient_checkpointing=again, **arguments)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                y = tf.reduce_sum(model(images(), training=True)[:, 0])
            return tape.gradient(y, [v.value for v in model.trainable_variables])

        return step()

    for a, b in zip(gradients(False), gradients(True), strict=True):
        if a is not None:
            np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)


def test_official_names_without_regional_tokens():
    model = new_classifier("no regional tokens", stages=2)
    arrays = official_state_dict(model)
    whole = official_state_dict(build_classifier(plain_backbone(), classes=3))
    dropped = set(whole) - set(arrays)
    assert dropped == {key for key in whole if key.startswith("cls_token.") or ".norm0." in key}
    assert load_official_weights(new_classifier("no regional tokens", stages=2), arrays) == []
    with pytest.raises(ValueError, match=r"unexpected cls_token\.proj\.bias"):
        load_official_weights(model, whole)


def plain_backbone():
    return RegionViTBackbone(
        (8, 16), (1, 1), None, 3, patch_size=2, stem="conv1", input_shape=SHAPE
    )


@pytest.mark.parametrize("name", ["dense3", "separate weights", "absolute", "patch merging"])
def test_parts_without_official_names(name):
    with pytest.raises(ValueError, match=r"the official release has names for.*an ablation"):
        official_state_dict(new_classifier(name))


@pytest.mark.parametrize("name", ["overlap", "all keys"])
def test_weights_that_would_mean_something_else(name):
    arrays = official_state_dict(build_classifier(plain_backbone(), classes=3))
    model = new_classifier(name, stages=2)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"must compute what the official release does.*ablation"):
        load_official_weights(model, arrays)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
