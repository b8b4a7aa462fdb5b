"""gelu_dense against Keras' own operations, forward and backward."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.ops.gelu import gelu_dense


def plain(x, layer, training):
    return layer(keras.ops.gelu(x, approximate=False))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_is_keras_own(dtype):
    layer = keras.layers.Dense(5, dtype=dtype)
    layer.build((None, 7))
    layer.set_weights([np.random.default_rng(2).normal(size=(7, 5)), np.linspace(-1, 1, 5)])
    x = tf.cast(np.random.default_rng(0).normal(0, 2, (33, 7)), dtype)
    towards = tf.constant(np.random.default_rng(1).normal(size=(33, 5)), tf.float32)
    results = []
    for function in (gelu_dense, plain):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x, layer, training=True)
            value = tf.reduce_sum(tf.cast(y, tf.float32) * towards)
        gradients = tape.gradient(value, [x, *(w.value for w in layer.trainable_variables)])
        results.append([y, *gradients])
    tolerance = 1e-5 if dtype == "float32" else 1e-1
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(
            tf.cast(ours, tf.float32), tf.cast(theirs, tf.float32), rtol=tolerance, atol=tolerance
        )


def test_low_rank_adaptation_gets_its_gradients():
    layer = keras.layers.Dense(5)
    layer.build((None, 7))
    layer.enable_lora(2)
    x = tf.constant(np.random.default_rng(0).normal(size=(33, 7)), tf.float32)
    found = []
    for function in (gelu_dense, plain):
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(function(x, layer, training=True) ** 2)
        found.append(tape.gradient(value, [w.value for w in layer.trainable_variables]))
    assert len(found[0]) == 3  # bias and two factors
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_input_is_all_that_the_backward_pass_keeps(kept):
    layer = keras.layers.Dense(16)
    layer.build((None, 64))
    assert kept(lambda x: gelu_dense(x, layer, training=True), (30, 64)) == 30 * 64
    assert kept(lambda x: plain(x, layer, training=True), (30, 64)) > 30 * 64
