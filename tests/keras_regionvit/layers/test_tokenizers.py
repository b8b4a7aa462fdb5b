import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.layers import LocalTokenizer, RegionalTokenizer
from tests.oracles import numpy_regionvit

SIZES = [(24, 36), (23, 29), (25, 8), (3, 2)]


def image(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).standard_normal((height, width, channels)).astype("float32")


def randomise(layer, seed=0):
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        variable.assign(rng.standard_normal(variable.shape) / 3)


def official(layer):
    """The weights of a tokenizer as an official file holds them."""
    if isinstance(layer, RegionalTokenizer):
        convs, norms, name = [layer.conv], [], "cls_token.proj."
    else:
        convs, norms, name = layer.convs, layer.norms, "patch_embed.proj."
    arrays = {}
    for i, conv in enumerate(convs):
        key = f"{name}{3 * i}." if norms else name
        kernel, bias = (np.asarray(w) for w in conv.weights)
        arrays |= {key + "weight": kernel.transpose(3, 2, 0, 1), key + "bias": bias}
    for i, norm in enumerate(norms):
        gamma, beta = (np.asarray(w).reshape(1, -1, 1, 1) for w in norm.weights)
        arrays |= {f"{name}{3 * i + 1}.weight": gamma, f"{name}{3 * i + 1}.bias": beta}
    return {key: array.astype("float64") for key, array in arrays.items()}


@pytest.mark.parametrize("patch_size", [2, 4])
@pytest.mark.parametrize("stem", ["conv1", "conv3"])
def test_local_tokens(stem, patch_size):
    layer = LocalTokenizer(8, patch_size, stem)
    layer.build((None, None, None, 3))
    randomise(layer)
    for size in [*SIZES, (1, 1)] if stem == "conv3" else SIZES:
        x = image(*size)
        expected = numpy_regionvit.local_tokens(official(layer), x.astype("float64"), patch_size)
        found = layer(x[None])
        np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
        assert layer.compute_output_shape((None, *x.shape)) == (None, *expected.shape)


@pytest.mark.parametrize("stem", ["conv1", "conv3"])
@pytest.mark.parametrize("patch_size", [1, 2, 4, 8, 16])
def test_every_patch_size_halves_as_often_as_it_says(stem, patch_size):
    layer = LocalTokenizer(8, patch_size, stem)
    assert layer(image(48, 32)[None]).shape == (1, 48 // patch_size, 32 // patch_size, 8)
    randomise(layer)
    x = tf.constant(image(19, 33)[None])
    with tf.GradientTape() as tape:
        tape.watch(x)
        tokens = layer(x)
        loss = tf.reduce_sum(
            tokens * np.arange(1.0, 1 + np.prod(tokens.shape)).reshape(tokens.shape)
        )
    seen = np.abs(tape.gradient(loss, x)).max((0, 3))
    reached = 1 + (seen.shape[0] - 1) // patch_size * patch_size
    assert (seen[:reached, :reached] > 0).all()  # no pixel falls between the strides


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_image_channels(channels):
    x = image(8, 12, channels)[None]
    assert LocalTokenizer(8, image_channels=channels)(x).shape == (1, 2, 3, 8)
    assert RegionalTokenizer(8, 4, image_channels=channels)(x).shape == (1, 2, 3, 8)


@pytest.mark.parametrize("region", [6, 12])
def test_regional_tokens(region):
    layer = RegionalTokenizer(5, region)
    layer.build((None, None, None, 3))
    randomise(layer)
    for size in [*SIZES, (12, 13), (1, 1)]:
        x = image(*size)
        expected = numpy_regionvit.regional_tokens(official(layer), x.astype("float64"), region)
        np.testing.assert_allclose(layer(x[None])[0], expected, rtol=1e-4, atol=1e-5)
        assert layer.compute_output_shape((None, *x.shape)) == (None, *expected.shape)


def test_regional_tokens_of_whole_regions_are_a_projection_of_their_pixels():
    layer = RegionalTokenizer(5, 4)
    x = image(8, 12)
    found = np.asarray(layer(x[None]))[0]
    kernel, bias = (np.asarray(w) for w in layer.conv.weights)
    for i, j in np.ndindex(2, 3):
        pixels = x[4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
        expected = pixels.ravel() @ kernel.reshape(-1, 5) + bias
        np.testing.assert_allclose(found[i, j], expected, rtol=1e-5, atol=1e-6)


def test_fresh_kernels_have_pytorchs_bounds():
    keras.utils.set_random_seed(0)
    local, regional = LocalTokenizer(96, 4, "conv1"), RegionalTokenizer(96, 14)
    for layer, conv, fan_in in [
        (local, local.convs[0], 3 * 8 * 8),
        (regional, regional.conv, 3 * 14 * 14),
    ]:
        layer.build((None, None, None, 3))
        for values in map(np.asarray, conv.weights):
            assert 0.9 * fan_in**-0.5 < np.abs(values).max() <= fan_in**-0.5


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`patch_size` must be a power of two.*3"):
        LocalTokenizer(8, patch_size=3)
    with pytest.raises(ValueError, match=r"`stem` must be 'conv1' or 'conv3'.*'conv2'"):
        LocalTokenizer(8, stem="conv2")
    with pytest.raises(ValueError, match=r"`embed_dim` must be a multiple of 4.*6"):
        LocalTokenizer(6, stem="conv3")


@pytest.mark.parametrize("shape", [(1, 0, 8, 3), (1, 8, 0, 3)])
def test_empty_images_are_refused(shape):
    for layer in (LocalTokenizer(8), RegionalTokenizer(8, 4)):
        with pytest.raises(ValueError, match="image must have at least 1 rows and columns"):
            layer(np.zeros(shape))
        layer.build((None, None, None, 3))
        with pytest.raises(ValueError, match="image must have at least 1 rows and columns"):
            layer(np.zeros(shape))


def test_one_convolution_needs_two_pixels():
    layer = LocalTokenizer(8, stem="conv1")
    with pytest.raises(ValueError, match=r"at least 2 rows and columns.*1x9"):
        layer(np.zeros((1, 1, 9, 3)))
    assert layer(np.zeros((1, 2, 9, 3))).shape == (1, 1, 2, 8)
