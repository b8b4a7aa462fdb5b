"""Layer normalisation over channels, lean in training."""

import keras
import numpy as np
from keras import ops

from keras_regionvit.layers.gelu import after
from keras_regionvit.layers.windows import inferred


@keras.saving.register_keras_serializable(package="keras_regionvit")
class LayerNorm(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` whose backward pass on TensorFlow keeps the input alone.

    TensorFlow would also keep the factor of every element, a second tensor of the input's size.

    Args: as of `keras.layers.LayerNormalization`; only the last axis is normalised.

    Example:

    >>> LayerNorm(epsilon=1e-6)(keras.ops.ones((2, 49, 96))).shape
    (2, 49, 96)
    """

    def call(self, inputs, training=False):
        """Normalises (..., C)."""
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        gamma, beta = (ops.cast(weight, x.dtype) for weight in (self.gamma, self.beta))
        rows = ops.reshape(x, (-1, x.shape[-1]))  # (..., C) -> (rows, C)
        norm = _lean_norm(self.epsilon) if training else _norm
        rows = norm(rows, gamma, beta) if training else norm(rows, gamma, beta, self.epsilon)
        return ops.cast(ops.reshape(rows, inferred(ops.shape(inputs))), self.compute_dtype)


def _norm(x, gamma, beta, epsilon):
    """Normalises (rows, C).

    On a CPU TensorFlow makes one operation of all but the last line, provided that it is written
    just so, in this rank, and that what stands for gamma and beta are constants, unlike a model's
    weights. 1e-30 is lost when added; a 0 would be taken out, and with it the one operation.
    """
    ones, nothing = (np.full(x.shape[-1:], value, "float32") for value in (1.0, 1e-30))
    mean = ops.mean(x, axis=1, keepdims=True)
    variance = ops.mean(ops.square(x - mean), axis=1, keepdims=True)
    scale = ops.rsqrt(variance + epsilon) * ops.cast(ones, x.dtype)
    standard = x * scale + (ops.cast(nothing, x.dtype) - mean * scale)
    return standard * gamma + beta


def _lean_norm(epsilon):
    @ops.custom_gradient
    def norm(x, gamma, beta):
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            # not as in `_norm`: what both compute would be kept, and the form broken up
            share = ops.full((x.shape[-1], 1), 1 / x.shape[-1], x.dtype)
            centred = x - (ops.matmul(x, share) + after(upstream, 0.0))
            inverse = ops.rsqrt(ops.matmul(ops.square(centred), share) + epsilon)
            standard = centred * inverse
            aligned = upstream * standard
            weights = ops.expand_dims(gamma / x.shape[-1], 1)
            towards = standard * ops.matmul(aligned, weights) + ops.matmul(upstream, weights)
            return (
                (upstream * gamma - towards) * inverse,
                ops.sum(aligned, axis=0),
                ops.sum(upstream, axis=0),
            )

        return _norm(x, gamma, beta, epsilon), gradient

    return norm
