"""Each form of a layer norm is the plain formula, in values and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.ops.layer_norm import fused_layer_norm, layer_norm, plain_layer_norm

ROWS, CHANNELS, EPSILON = 11, 7, 1e-3
FORMS = {
    "fused": fused_layer_norm,
    "inference": layer_norm,
    "training": lambda *args: layer_norm(*args, training=True),
}


def inputs(dtype="float32"):
    """Rows, gamma, beta, and the gradient of the result."""
    rng = np.random.default_rng(0)
    shapes = (ROWS, CHANNELS), (CHANNELS,), (CHANNELS,), (ROWS, CHANNELS)
    return [tf.constant(rng.normal(1, 2, shape), dtype) for shape in shapes]


def outputs_and_gradients(form, x, gamma, beta, upstream):
    with tf.GradientTape() as tape:
        tape.watch([x, gamma, beta])
        y = form(x, gamma, beta, EPSILON)
    return [y, *tape.gradient(y, [x, gamma, beta], upstream)]


@pytest.mark.parametrize("mode", ["eager", "graph", "XLA"])
@pytest.mark.parametrize("name", FORMS)
def test_form_is_the_plain_formula(name, mode):
    def run(form):
        call = lambda *args: outputs_and_gradients(form, *args)  # noqa: E731
        call = call if mode == "eager" else tf.function(call, jit_compile=mode == "XLA")
        return call(*inputs())

    for found, expected in zip(run(FORMS[name]), run(plain_layer_norm), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["inference", "training"])
def test_float64_is_not_narrowed(name):
    found = outputs_and_gradients(FORMS[name], *inputs("float64"))
    expected = outputs_and_gradients(plain_layer_norm, *inputs("float64"))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == "float64"
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_plain_formula_by_hand():
    # mean 3, variance 8 / 3, which epsilon makes 4: the rows become -1, 0, 1
    x = tf.constant([[1.0, 3.0, 5.0]])
    y = plain_layer_norm(x, tf.constant([1.0, 2.0, 3.0]), tf.constant([0.0, 7.0, 1.0]), 4 - 8 / 3)
    np.testing.assert_allclose(y, [[-1, 7, 4]], rtol=1e-6)


def test_training_keeps_the_rows_alone(kept):
    gamma, beta = tf.ones(CHANNELS), tf.zeros(CHANNELS)
    lean = lambda x: layer_norm(x, gamma, beta, EPSILON, training=True)  # noqa: E731
    plain = lambda x: plain_layer_norm(x, gamma, beta, EPSILON)  # noqa: E731
    assert kept(lean, (ROWS, CHANNELS)) == ROWS * CHANNELS
    assert kept(plain, (ROWS, CHANNELS)) > ROWS * CHANNELS
