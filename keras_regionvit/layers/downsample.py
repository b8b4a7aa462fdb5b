"""Downsampling between stages: half the resolution, twice the channels (paper, section 3).

B batch, H W size of the map, h w half of it, C channels.
"""

import keras
from keras import ops

from keras_regionvit.layers.gelu import gelu_alone
from keras_regionvit.layers.norm import normalize
from keras_regionvit.layers.windows import is_static


def _half(size):
    return (size + 1) // 2


@ops.custom_gradient
def strided_depthwise(maps, kernel):
    """3x3 depthwise convolution with stride 2 and one row and column of zeros on each side.

    The backward pass is written out as nine products of whole maps, one for each tap: the
    compiled gradient of a strided depthwise convolution takes seconds on a CPU.

    Args:
        maps: (B, H, W, C).
        kernel: (3, 3, C, K), K output channels for each of the C.

    Returns:
        (B, ceil(H / 2), ceil(W / 2), C * K), channel `c * K + k` made from channel `c`.
    """
    batch, height, width, channels = ops.shape(maps)
    multiplier = kernel.shape[-1]
    h, w = _half(height), _half(width)
    padded = ops.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)])
    outputs = ops.depthwise_conv(padded, kernel, strides=2, padding="valid")

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        upstream = ops.reshape(upstream, (batch, h, w, channels, multiplier))
        # Tap (u, v) meets row 2i + u = 2 (i + u // 2) + u % 2 of the padded map: row i + u // 2
        # of its even (0) or odd (1) rows. Cut into these phases, no stride is left.
        rows = 2 * (h + 1) - (height + 1)
        columns = 2 * (w + 1) - (width + 1)
        phases = ops.pad(maps, [(0, 0), (1, rows), (1, columns), (0, 0)])
        phases = ops.reshape(phases, (batch, h + 1, 2, w + 1, 2, channels))
        map_gradient = [[0.0, 0.0], [0.0, 0.0]]
        kernel_gradient = []
        for u in range(3):
            for v in range(3):
                top, left = u // 2, v // 2
                tap = phases[:, top : top + h, u % 2, left : left + w, v % 2]  # (B, h, w, C)
                kernel_gradient.append(ops.einsum("bhwc,bhwck->ck", tap, upstream))
                share = ops.einsum("bhwck,ck->bhwc", upstream, kernel[u, v])
                around = [(0, 0), (top, 1 - top), (left, 1 - left), (0, 0)]
                phase = map_gradient[u % 2]
                phase[v % 2] = phase[v % 2] + ops.pad(share, around)
        # (B, h+1, w+1, C) x 2 x 2 -> (B, h+1, 2, w+1, 2, C) -> padded map -> map
        x = ops.stack([ops.stack(row, axis=3) for row in map_gradient], axis=2)
        x = ops.reshape(x, (batch, 2 * (h + 1), 2 * (w + 1), channels))
        kernel_gradient = ops.reshape(ops.stack(kernel_gradient), ops.shape(kernel))
        return x[:, 1 : 1 + height, 1 : 1 + width], kernel_gradient

    return outputs, gradient


@keras.saving.register_keras_serializable(package="keras_regionvit")
class Downsampling(keras.layers.Layer):
    """Norm -> exact GELU -> 3x3 depthwise convolution with stride 2; shared by both maps.

    Args:
        embed_dim: channels C of the input; the output has 2C.

    Input shape: (B, H, W, C). Output shape: (B, ceil(H / 2), ceil(W / 2), 2C).

    Example:

    >>> Downsampling(96)(keras.ops.ones((2, 56, 56, 96))).shape
    (2, 28, 28, 192)
    """

    def __init__(self, embed_dim, **kwargs):
        super().__init__(**kwargs)
        self.embed_dim = embed_dim
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-5, dtype=self.dtype_policy, name="norm"
        )

    def build(self, input_shape):
        """Creates the weights for inputs of `input_shape` (B, H, W, C)."""
        self.norm.build((None, self.embed_dim))
        uniform = keras.initializers.RandomUniform(-1 / 3, 1 / 3)  # PyTorch's default
        self.kernel = self.add_weight(
            name="kernel", shape=(3, 3, self.embed_dim, 2), initializer=uniform
        )
        self.bias = self.add_weight(
            name="bias", shape=(2 * self.embed_dim,), initializer=uniform.clone()
        )
        self.built = True

    def call(self, inputs, training=False):
        """Maps (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), 2C)."""
        x = gelu_alone(normalize(inputs, self.norm, training), training)
        # a copy: TensorFlow's custom gradients take tensors, no variables
        kernel = ops.copy(ops.cast(self.kernel, x.dtype))
        return strided_depthwise(x, kernel) + self.bias

    def compute_output_shape(self, input_shape):
        """Half the rows and columns, rounded up, and twice the channels."""
        batch, height, width, channels = input_shape
        half = [_half(size) if is_static(size) else None for size in (height, width)]
        return (batch, *half, 2 * channels)

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "embed_dim": self.embed_dim}
