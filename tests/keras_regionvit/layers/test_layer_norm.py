"""LayerNorm against Keras' own layer, forward and backward."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.layers.layer_norm import LayerNorm
from keras_regionvit.ops.layer_norm import norms_for_other_runtimes


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_training_is_keras_own(dtype):
    x = tf.constant(np.random.default_rng(0).normal(3, 2, (2, 3, 5, 7)), tf.float32)
    towards = tf.constant(np.random.default_rng(1).normal(size=x.shape), tf.float32)
    results = []
    for layer in (LayerNorm, keras.layers.LayerNormalization):
        norm = layer(epsilon=1e-2, dtype=dtype)
        norm.build(x.shape)
        norm.set_weights([np.linspace(0.5, 2, 7), np.linspace(-1, 1, 7)])
        arguments = {"training": True} if layer is LayerNorm else {}
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = norm(x, **arguments)
            value = tf.reduce_sum(tf.cast(y, tf.float32) * towards)
        gradients = tape.gradient(value, [x, *(w.value for w in norm.trainable_variables)])
        results.append([y, *gradients])
    tolerance = 2e-6 if dtype == "float32" else 5e-2
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(
            tf.cast(ours, tf.float32), tf.cast(theirs, tf.float32), rtol=tolerance, atol=tolerance
        )


def test_the_input_is_all_that_the_backward_pass_keeps(kept):
    shape, elements = (2, 30, 64), 2 * 30 * 64
    lean, plain = LayerNorm(), keras.layers.LayerNormalization()
    for norm in (lean, plain):
        norm.build(shape)
    assert kept(lambda x: lean(x, training=True), shape) == elements
    assert kept(plain, shape) > elements


@pytest.mark.parametrize(
    ("epsilon", "dtype"),
    [(1e-2, "float32"), (1e-5, "float32"), (1e-6, "float32"), (0.0, "float32"), (1e-6, "float64")],
)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [None, 30], ids=["dynamic", "static"])
def test_compiled_with_little_variance(epsilon, dtype, training, size):
    """TensorFlow's one operation for a norm has an epsilon of its own, which must not show."""
    rng = np.random.default_rng(0)
    spread = np.geomspace(1e-4, 1, 30)[:, None]
    rows = rng.normal(size=(4, 1, 1)) + rng.normal(size=(4, 30, 64)) * spread
    norm = LayerNorm(epsilon=epsilon, dtype=dtype)
    norm.build(rows.shape)
    gamma, beta = np.linspace(0.5, 2, 64), np.linspace(-1, 1, 64)
    norm.set_weights([gamma, beta])
    call = tf.function(lambda x: tf.nn.relu(norm(x, training=training)))
    x = tf.constant(rows, dtype)
    shown = call.get_concrete_function(tf.TensorSpec((None, size, 64), dtype))(x)
    centred = x.numpy().astype("float64")
    centred -= centred.mean(-1, keepdims=True)
    wanted = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * gamma + beta
    # without an epsilon nothing damps the rounding of the mean where the variance is 1e-8
    tolerance = 3e-4 if epsilon else 5e-3
    np.testing.assert_allclose(shown, np.maximum(wanted, 0), rtol=1e-4, atol=tolerance)


def test_each_form_where_it_is_fast():
    norm = LayerNorm(epsilon=1e-6)
    x = np.random.default_rng(0).normal(size=(4, 16)).astype("float32")
    norm.build(x.shape)

    def traced(jit=False):
        call = tf.function(lambda x: norm(x), jit_compile=jit).get_concrete_function(x)
        return len(call.graph.get_operations()), call(x)

    fused, expected = traced()
    with norms_for_other_runtimes():
        plain, by_plain = traced()
    assert plain < fused and traced()[0] == fused  # the scope has ended
    compiled, by_xla = traced(jit=True)
    assert compiled == plain
    for y in (by_plain, by_xla):
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
