"""The lean forms of GELU are the plain formulas, in values and gradients."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.ops.gelu import gelu, gelu_dense, plain_gelu, plain_gelu_dense

PAIRS = {
    "gelu": (lambda x: gelu(x, training=True), plain_gelu, [(33, 7)]),
    "gelu_dense": (gelu_dense, plain_gelu_dense, [(33, 7), (7, 5), (5,)]),
}


def inputs(shapes, dtype):
    rng = np.random.default_rng(0)
    return [tf.cast(rng.normal(0, 2, shape), dtype) for shape in shapes]


def outputs_and_gradients(function, arrays):
    with tf.GradientTape() as tape:
        tape.watch(arrays)
        y = function(*arrays)
    towards = tf.cast(np.random.default_rng(1).normal(size=y.shape), y.dtype)
    return [y, *tape.gradient(y, arrays, towards)]


@pytest.mark.parametrize("mode", ["eager", "graph", "XLA"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", PAIRS)
def test_lean_form_is_the_plain_formula(name, dtype, mode):
    def run(function):
        call = lambda *arrays: outputs_and_gradients(function, arrays)  # noqa: E731
        call = call if mode == "eager" else tf.function(call, jit_compile=mode == "XLA")
        return call(*inputs(shapes, dtype))

    lean, plain, shapes = PAIRS[name]
    tolerance = 1e-5 if dtype == "float32" else 1e-1
    for ours, theirs in zip(run(lean), run(plain), strict=True):
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_allclose(
            tf.cast(ours, tf.float32), tf.cast(theirs, tf.float32), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("name", PAIRS)
def test_the_input_is_all_that_the_backward_pass_keeps(name, kept):
    lean, plain, shapes = PAIRS[name]
    rest = inputs(shapes[1:], "float32")
    size = math.prod(shapes[0])
    assert kept(lambda x: lean(x, *rest), shapes[0]) == size
    assert kept(lambda x: plain(x, *rest), shapes[0]) > size


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_plain_formula_is_keras_own(dtype):
    (x,) = inputs([(50,)], dtype)
    expected = keras.ops.gelu(x, approximate=False)
    assert plain_gelu(x).dtype == dtype
    np.testing.assert_allclose(
        tf.cast(plain_gelu(x), "float64"), tf.cast(expected, "float64"), rtol=1e-5, atol=1e-6
    )


def test_at_inference_it_is_the_plain_formula():
    (x,) = inputs([(4, 3)], "float32")
    np.testing.assert_array_equal(gelu(x), plain_gelu(x))
