"""Layer normalisation over channels, lean in training."""

import keras
from keras import ops

from keras_regionvit.layers.gelu import after


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
        if not training or keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        gamma, beta = (ops.cast(weight, x.dtype) for weight in (self.gamma, self.beta))
        return ops.cast(_lean_norm(self.epsilon)(x, gamma, beta), self.compute_dtype)


def _lean_norm(epsilon):
    @ops.custom_gradient
    def norm(x, gamma, beta):
        mean, variance = ops.moments(x, axes=[-1], keepdims=True)
        inverse = ops.rsqrt(variance + epsilon)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            samples = list(range(len(x.shape) - 1))
            standard = (x - (mean + after(upstream, 0.0))) * inverse
            scaled = upstream * gamma
            aligned = ops.mean(scaled * standard, axis=-1, keepdims=True)
            centred = scaled - ops.mean(scaled, axis=-1, keepdims=True)
            return (
                (centred - standard * aligned) * inverse,
                ops.sum(upstream * standard, axis=samples),
                ops.sum(upstream, axis=samples),
            )

        scale = inverse * gamma
        return x * scale + (beta - mean * scale), gradient

    return norm
