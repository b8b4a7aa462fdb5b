"""The exact GELU (Hendrycks and Gimpel, 2016), lean in training."""

import math

import keras
from keras import ops


def gelu(x):
    """`x * Phi(x)`, Phi the distribution function of the standard normal.

    Args:
        x: a float tensor of any shape.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    if keras.backend.backend() == "tensorflow" and dtype == "float32":
        # Keras' own has `erfc` there, which converters to other runtimes do not know. In half
        # precision it stays: 1 + erf(x) loses what is left of it far below 0.
        return 0.5 * x * (1 + ops.erf(x * math.sqrt(0.5)))
    return ops.gelu(x, approximate=False)


def gelu_alone(x, training=False):
    """`gelu(x)`, lean in training: what is kept for the backward pass is `x` alone.

    Args:
        x: a float tensor of rank 2 or more.
        training: whether a backward pass follows.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    lean = training and keras.backend.backend() == "tensorflow"
    return _lean_gelu(x) if lean else gelu(x)


@ops.custom_gradient
def _lean_gelu(x):
    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        slope = _twice(x, upstream) + x * _density(x, upstream)
        return 0.5 * upstream * slope

    return gelu(x), gradient


def _twice(x, upstream):
    """`2 Phi(x)`, Phi the distribution, once `upstream` is there."""
    return 1 + ops.erf(x * after(upstream, math.sqrt(0.5)))


def _density(x, upstream):
    """`2 phi(x)`, phi the density, once `upstream` is there."""
    scaled = x * after(upstream, math.sqrt(0.5))
    return ops.exp(0.5 * math.log(2 / math.pi) - scaled * scaled)


def gelu_dense(x, layer, training=False):
    """`layer(gelu(x))`, lean in training.

    Args:
        x: (rows, C).
        layer: a `keras.layers.Dense` without activation, with a bias.
        training: whether a backward pass follows. TensorFlow would then keep five tensors of
            the size of `x` for it; here it keeps `x` alone and computes `Phi(x)` once more.

    Returns:
        (rows, units) of the dtype of `x`.
    """
    lean = training and keras.backend.backend() == "tensorflow"
    if not lean or layer.quantization_mode is not None:
        return layer(gelu(x))
    return _lean(x, ops.cast(layer.kernel, x.dtype), ops.cast(layer.bias, x.dtype))


@ops.custom_gradient
def _lean(x, kernel, bias):
    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        half = 0.5 * upstream  # here, where it is cheap
        twice = _twice(x, upstream)
        kernel_gradient = ops.einsum("rc,ru->cu", x * twice, half)
        # each when the one before is done: so fewer tensors of the size of `x` live at a time
        slope = twice + x * _density(x, kernel_gradient[:1])
        half = half * after(slope[:1], 1.0)
        return (
            ops.einsum("ru,cu->rc", half, kernel) * slope,
            kernel_gradient,
            ops.cast(ops.sum(ops.cast(upstream, "float32"), axis=0), upstream.dtype),
        )

    return ops.matmul(gelu(x), kernel) + bias, gradient


def after(upstream, value):
    """`value` for each row, (..., 1), not to be had before `upstream`, such as a gradient.

    TensorFlow computes what it can as soon as it can: what a backward pass makes anew from its
    input alone would be made during the forward pass, and kept.
    """
    first = upstream[..., :1]
    return ops.cast(ops.where(ops.equal(first, first), value, math.nan), first.dtype)
