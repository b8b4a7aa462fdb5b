"""The exact GELU (Hendrycks and Gimpel, 2016), alone and before a product, lean in training.

TensorFlow keeps five tensors of the size of the input for the backward pass of the plain formula;
the lean forms keep the input alone and compute Phi once more. With the plain ones the peak of a
training step is 1,621 MiB instead of 947.

Phi is the distribution function of the standard normal, phi its density. C channels, D units.
"""

import math

import keras
from keras import ops

from keras_regionvit.ops.gradients import after, with_gradient


def plain_gelu(x):
    """`x * Phi(x)`.

    Args:
        x: float tensor of any shape.

    Returns:
        A tensor of the shape and dtype of `x`.

    Example:

    >>> plain_gelu(keras.ops.ones((1,)))  # 0.8413
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    if keras.backend.backend() == "tensorflow" and dtype == "float32":
        # Keras' own has `erfc` there, which converters to other runtimes do not know. In half
        # precision it stays: 1 + erf(x) loses what is left of it far below 0.
        return 0.5 * x * (1 + ops.erf(x * math.sqrt(0.5)))
    return ops.gelu(x, approximate=False)


def gelu(x, training=False):
    """`plain_gelu(x)`, lean in training: what is kept for the backward pass is `x` alone.

    Args:
        x: float tensor of rank 2 or more.
        training: bool, whether a backward pass follows.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    lean = training and keras.backend.backend() == "tensorflow"
    return _lean_gelu(x) if lean else plain_gelu(x)


def _gelu_gradient(x, upstream):
    return 0.5 * upstream * (_twice_phi(x, upstream) + x * _twice_density(x, upstream))


_lean_gelu = with_gradient(plain_gelu, _gelu_gradient)


def _twice_phi(x, upstream):
    """`2 Phi(x)`, once `upstream` is there."""
    return 1 + ops.erf(x * after(upstream, math.sqrt(0.5)))


def _twice_density(x, upstream):
    """`2 phi(x)`, once `upstream` is there."""
    scaled = x * after(upstream, math.sqrt(0.5))
    return ops.exp(0.5 * math.log(2 / math.pi) - scaled * scaled)


def plain_gelu_dense(x, kernel, bias):
    """`plain_gelu(x) @ kernel + bias`.

    Args:
        x: float tensor (rows, C).
        kernel: tensor (C, D) of the dtype of `x`.
        bias: tensor (D,) of the dtype of `x`.

    Returns:
        A tensor (rows, D) of the dtype of `x`.
    """
    return ops.matmul(plain_gelu(x), kernel) + bias


def gelu_dense(x, kernel, bias):
    """`plain_gelu_dense`, lean where a backward pass follows: `x` alone is kept for it.

    Args:
        x: float tensor (rows, C).
        kernel: tensor (C, D) of the dtype of `x`, no variable.
        bias: tensor (D,) of the dtype of `x`, no variable.

    Returns:
        A tensor (rows, D) of the dtype of `x`.
    """
    return _lean_gelu_dense(x, kernel, bias)


def _gelu_dense_gradient(x, kernel, bias, upstream):
    half = 0.5 * upstream  # (rows, D), cheaper to halve than (rows, C)
    twice_phi = _twice_phi(x, upstream)
    kernel_gradient = ops.einsum("rc,rd->cd", x * twice_phi, half)
    # Each of the following waits for the one before, so that fewer tensors of the size of `x`
    # live at a time.
    slope = twice_phi + x * _twice_density(x, kernel_gradient[:1])
    half = half * after(slope[:1], 1.0)
    return (
        ops.einsum("rd,cd->rc", half, kernel) * slope,
        kernel_gradient,
        ops.cast(ops.sum(ops.cast(upstream, "float32"), axis=0), upstream.dtype),
    )


_lean_gelu_dense = with_gradient(plain_gelu_dense, _gelu_dense_gradient)
