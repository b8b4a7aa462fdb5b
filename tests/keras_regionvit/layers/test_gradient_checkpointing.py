"""Recomputation in the backward pass: other memory, the same numbers."""

import keras
import numpy as np
import pytest

import keras_regionvit


def trained_weights(gradient_checkpointing, jit_compile):
    keras.utils.set_random_seed(7)
    backbone = keras_regionvit.RegionViTBackbone(
        (16, 32),
        (2, 2),
        window_size=3,
        peg=True,
        drop_path_rate=0.5,
        input_shape=(30, 36, 3),
        gradient_checkpointing=gradient_checkpointing,
    )
    model = keras_regionvit.build_classifier(backbone, classes=5)
    model.compile(
        keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", jit_compile=jit_compile
    )
    images = np.random.default_rng(0).standard_normal((6, 30, 36, 3)).astype("float32")
    model.fit(images, np.arange(6) % 5, batch_size=3, epochs=2, shuffle=False, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
def test_gradients_are_equal_under_drop_path(jit_compile):
    plain = trained_weights(False, jit_compile)
    again = trained_weights(False, jit_compile)
    recomputed = trained_weights(True, jit_compile)
    for a, b, c in zip(plain, again, recomputed, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)  # the draws are the same
        np.testing.assert_allclose(c, a, rtol=1e-5, atol=1e-6)


def test_dropout_is_refused():
    with pytest.raises(ValueError, match=r"`gradient_checkpointing` works .* `dropout_rate`=0.1"):
        keras_regionvit.RegionViTBackbone(dropout_rate=0.1, gradient_checkpointing=True)


def test_config():
    stage = keras_regionvit.layers.RegionalToLocalStage(8, 2, 3, gradient_checkpointing=True)
    again = keras.layers.deserialize(keras.layers.serialize(stage))
    assert again.gradient_checkpointing is True
    backbone = keras_regionvit.RegionViTBackbone((16,), (1,), gradient_checkpointing=True)
    again = keras_regionvit.RegionViTBackbone.from_config(backbone.get_config())
    assert again.get_layer("stage1").gradient_checkpointing is True
