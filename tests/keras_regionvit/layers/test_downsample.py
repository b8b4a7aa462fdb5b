import keras
import numpy as np

from keras_regionvit.layers import Downsampling
from tests.oracles import numpy_regionvit


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
        # small, so that the epsilon of 1e-5 tells
        maps = (0.01 * rng.standard_normal((2, height, width, 3))).astype("float32")
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
