"""Layer normalisation over channels, lean on TensorFlow."""

import contextlib
import contextvars
import math

import keras
import numpy as np
from keras import ops

from keras_regionvit.ops.gelu import after
from keras_regionvit.ops.windows import inferred
from keras_regionvit.ops.xla import compiled_by_xla

FUSED_EPSILON = 1e-3  # of TensorFlow's operation for a norm with constants (2.21)
_for_others = contextvars.ContextVar("norms for other runtimes", default=False)


@contextlib.contextmanager
def norms_for_other_runtimes():
    """What is traced in here has norms in the form that converters know as norms.

    Example:

    >>> with norms_for_other_runtimes():
    ...     function = tf.function(model).get_concrete_function(spec)
    """
    token = _for_others.set(True)
    try:
        yield
    finally:
        _for_others.reset(token)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class LayerNorm(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization`, lean on TensorFlow: see `normalize`.

    Args: as of `keras.layers.LayerNormalization`, but only the last axis is
        normalised, with gamma and beta.

    Example:

    >>> LayerNorm(epsilon=1e-6)(keras.ops.ones((2, 49, 96))).shape
    (2, 49, 96)
    """

    def call(self, inputs, training=False):
        """Normalises (..., C)."""
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        return normalize(inputs, self, training)


def normalize(inputs, layer, training=False):
    """What `layer` gives for `inputs`, in less time and memory on TensorFlow.

    Args:
        inputs: (..., C).
        layer: a built `keras.layers.LayerNormalization` over the last axis.
        training: whether a backward pass follows. TensorFlow would then keep the factor of every
            element, a second tensor of the size of `inputs`; here it keeps `inputs` alone.

    Returns:
        A tensor of the shape of `inputs`, of the compute dtype of `layer`.
    """
    if keras.backend.backend() != "tensorflow":
        return layer(inputs)
    x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
    gamma, beta = (ops.cast(weight, x.dtype) for weight in (layer.gamma, layer.beta))
    rows = ops.reshape(x, (-1, x.shape[-1]))  # (..., C) -> (rows, C)
    norm = _lean_norm if training else _form(rows, layer.epsilon)
    rows = norm(layer.epsilon)(rows, gamma, beta)
    return ops.cast(ops.reshape(rows, inferred(ops.shape(inputs))), layer.compute_dtype)


def _form(x, epsilon):
    """The form of a norm of `x`, (rows, C), that is the fastest where it runs."""
    fusible = epsilon > 0 and keras.backend.standardize_dtype(x.dtype) == "float32"
    return _fused if fusible and not (compiled_by_xla(x) or _for_others.get()) else _plain


def _plain(epsilon):
    """A function that normalises `(rows (rows, C), gamma (C,), beta (C,))`."""

    def norm(x, gamma, beta):
        # a tuple of axes, a division by a root: so OpenVINO knows it as a norm
        centred = x - ops.mean(x, axis=(1,), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(1,), keepdims=True)
        return centred / ops.sqrt(variance + epsilon) * gamma + beta

    return norm


def _fused(epsilon):
    """The same as one operation of TensorFlow's on a CPU.

    It makes one operation of what is between the first and the last line, provided that it is
    written just so, in this rank, and that what stands for gamma and beta are constants, unlike a
    model's weights. 1e-30 is lost when added; a 0 would be taken out, and with it the one
    operation. That takes 1e-3 for epsilon, whatever is written here: so rows are scaled until
    1e-3 is to them what epsilon is to the rows given. It fails in float64.
    """

    def norm(x, gamma, beta):
        x = x * math.sqrt(FUSED_EPSILON / epsilon)
        mean = ops.mean(x, axis=1, keepdims=True)
        variance = ops.mean(ops.square(x - mean), axis=1, keepdims=True)
        scale = ops.rsqrt(variance + FUSED_EPSILON)
        ones, nothing = (np.full(x.shape[-1:], value, "float32") for value in (1.0, 1e-30))
        scale = scale * ones
        return (x * scale + (nothing - mean * scale)) * gamma + beta

    return norm


def _lean_norm(epsilon):
    """The same, with a backward pass that starts from the rows alone."""

    @ops.custom_gradient
    def norm(x, gamma, beta):
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            # not as in `_fused`: what both compute would be kept, and the form broken up
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

        return _form(x, epsilon)(epsilon)(x, gamma, beta), gradient

    return norm
