"""The exact GELU (Hendrycks and Gimpel, 2016), lean in training."""

import math

import keras
from keras import ops


def gelu(x, training=False):
    """`x * Phi(x)`, Phi the distribution function of the standard normal.

    Args:
        x: a tensor of any shape.
        training: whether a backward pass follows. TensorFlow would then keep four tensors of
            the size of `x` for it; here it keeps `x` alone.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    if training and keras.backend.backend() == "tensorflow":
        return _lean_gelu(x)
    return _gelu(x)


@ops.custom_gradient
def _lean_gelu(x):
    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        distribution = 0.5 * (1 + ops.erf(x * math.sqrt(0.5)))
        density = ops.exp(-0.5 * ops.square(x)) * (2 * math.pi) ** -0.5
        return upstream * (distribution + x * density)

    return _gelu(x), gradient


def _gelu(x):
    if keras.backend.backend() == "tensorflow" and keras.backend.standardize_dtype(x.dtype) == (
        "float32"
    ):
        # Keras' own has `erfc` there, which converters to other runtimes do not know. In half
        # precision it stays: 1 + erf(x) loses what is left of it far below 0.
        return 0.5 * x * (1 + ops.erf(x * math.sqrt(0.5)))
    return ops.gelu(x, approximate=False)
