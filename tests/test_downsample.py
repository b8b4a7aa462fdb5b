import keras
import numpy as np
import numpy_regionvit
import pytest
import tensorflow as tf
from keras import ops

from keras_regionvit.layers import Downsampling
from keras_regionvit.layers.downsample import strided_depthwise

# odd, even and one on each axis
SIZES = [(1, 1), (1, 2), (2, 1), (5, 4), (4, 7), (6, 8), (3, 1)]


def inputs(height, width, multiplier):
    rng = np.random.default_rng(100 * height + width)
    maps = rng.standard_normal((2, height, width, 3)).astype("float32")
    kernel = rng.standard_normal((3, 3, 3, multiplier)).astype("float32")
    half = (height + 1) // 2, (width + 1) // 2
    upstream = rng.standard_normal((2, *half, 3 * multiplier)).astype("float32")
    return maps, kernel, upstream


def plain(maps, kernel):
    """The same convolution with the gradient that TensorFlow knows."""
    padded = tf.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)])
    return tf.nn.depthwise_conv2d(padded, kernel, [1, 2, 2, 1], "VALID")


def outputs_and_gradients(function, maps, kernel, upstream):
    with tf.GradientTape() as tape:
        tape.watch([maps, kernel])
        outputs = function(maps, kernel)
    return [outputs, *tape.gradient(outputs, [maps, kernel], upstream)]


def check(found, height, width, multiplier):
    arrays = [tf.constant(array) for array in inputs(height, width, multiplier)]
    expected = outputs_and_gradients(plain, *arrays)
    for name, a, b in zip(("outputs", "maps", "kernel"), found(*arrays), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=f"{name} {height}x{width}")


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_forward_is_the_explicitly_padded_convolution(height, width, multiplier):
    maps, kernel, _ = inputs(height, width, multiplier)
    outputs = np.asarray(strided_depthwise(maps, kernel))
    padded = np.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)])
    expected = ops.depthwise_conv(padded, kernel, strides=2, padding="valid")
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    official = kernel.transpose(2, 3, 0, 1).reshape(3 * multiplier, 1, 3, 3)
    for x, y in zip(maps, outputs, strict=True):
        by_loops = numpy_regionvit.convolution({"weight": official}, x, 2, 1, depthwise=True)
        np.testing.assert_allclose(y, by_loops, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_gradient_is_that_of_the_plain_convolution(height, width, multiplier):
    check(
        lambda *arrays: outputs_and_gradients(strided_depthwise, *arrays), height, width, multiplier
    )


@pytest.mark.parametrize("multiplier", [1, 2])
def test_gradient_with_unknown_sizes(multiplier):
    unknown = [(None, None, None, 3), (3, 3, 3, multiplier), (None, None, None, 3 * multiplier)]

    @tf.function(input_signature=[tf.TensorSpec(shape) for shape in unknown])
    def graph(*arrays):
        return outputs_and_gradients(strided_depthwise, *arrays)

    for height, width in SIZES:
        check(graph, height, width, multiplier)
    assert graph.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("case", [(1, 1, 2), (5, 4, 2), (4, 7, 1)])
def test_gradient_under_xla(case):
    @tf.function(jit_compile=True)
    def compiled(*arrays):
        return outputs_and_gradients(strided_depthwise, *arrays)

    check(compiled, *case)


def test_gradient_in_bfloat16():
    arrays = [tf.cast(array, "bfloat16") for array in inputs(5, 4, 2)]
    found = outputs_and_gradients(strided_depthwise, *arrays)
    expected = outputs_and_gradients(plain, *[tf.cast(array, "float32") for array in arrays])
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == "bfloat16"
        np.testing.assert_allclose(tf.cast(a, "float32"), b, rtol=0.05, atol=0.2)


def test_layer_is_norm_gelu_convolution_and_bias():
    layer = Downsampling(3)
    layer.build((None, None, None, 3))
    rng = np.random.default_rng(0)
    variables = [*layer.norm.weights, layer.kernel, layer.bias]
    gamma, beta, kernel, bias = (rng.standard_normal(w.shape) for w in variables)
    for variable, value in zip(variables, (gamma, beta, kernel, bias), strict=True):
        variable.assign(value)
    stage = {
        "block.0.proj.0.weight": gamma.reshape(1, 3, 1, 1),
        "block.0.proj.0.bias": beta.reshape(1, 3, 1, 1),
        "block.0.proj.2.weight": kernel.transpose(2, 3, 0, 1).reshape(6, 1, 3, 3),
        "block.0.proj.2.bias": bias,
    }
    for height, width in [(5, 4), (1, 7)]:
        maps, _, _ = inputs(height, width, 2)
        maps *= 0.01  # so that the epsilon of 1e-5 tells
        expected = [numpy_regionvit.downsample(stage, x.astype("float64")) for x in maps]
        np.testing.assert_allclose(layer(maps), expected, rtol=1e-4, atol=1e-5)


def test_one_module_serves_both_maps():
    layer = Downsampling(4)
    regional, local = layer(np.ones((1, 2, 3, 4))), layer(np.ones((1, 10, 15, 4)))
    assert regional.shape == (1, 1, 2, 8) and local.shape == (1, 5, 8, 8)
    assert layer.count_params() == 4 + 4 + 9 * 8 + 8


def test_fresh_kernel_has_pytorchs_bounds():
    keras.utils.set_random_seed(0)
    layer = Downsampling(64)
    layer.build((None, None, None, 64))
    for values in (np.asarray(layer.kernel), np.asarray(layer.bias)):
        assert 0.3 < np.abs(values).max() <= 1 / 3  # uniform within fan_in ** -0.5, fan_in = 9
