"""Downsampling between stages: half the resolution, twice the channels (paper, section 3).

B batch, H W size of the map, h w half of it, C channels.
"""

import keras
from keras import ops

from keras_regionvit.checks.kinds import keep_checked
from keras_regionvit.layers.layer_norm import normalize
from keras_regionvit.ops.depthwise import depthwise
from keras_regionvit.ops.gelu import gelu
from keras_regionvit.ops.shapes import is_static


def _half(size):
    return (size + 1) // 2


@keras.saving.register_keras_serializable(package="keras_regionvit")
class Downsampling(keras.layers.Layer):
    """Norm -> exact GELU -> 3x3 depthwise convolution with stride 2; shared by both maps.

    Args:
        embed_dim: int, channels C of the input; the output has 2C.

    Input shape: (B, H, W, C), float. Output shape: (B, ceil(H / 2), ceil(W / 2), 2C).

    Example:

    >>> Downsampling(96)(keras.ops.ones((2, 56, 56, 96))).shape
    (2, 28, 28, 192)
    """

    def __init__(self, embed_dim, **kwargs):
        super().__init__(**kwargs)
        keep_checked(self, embed_dim=embed_dim)
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
        x = gelu(normalize(inputs, self.norm, training), training)
        # a copy: TensorFlow's custom gradients take tensors, no variables
        kernel = ops.copy(ops.cast(self.kernel, x.dtype))
        return depthwise(x, kernel, stride=2) + self.bias

    def compute_output_shape(self, input_shape):
        """Half the rows and columns, rounded up, and twice the channels."""
        batch, height, width, channels = input_shape
        half = [_half(size) if is_static(size) else None for size in (height, width)]
        return (batch, *half, 2 * channels)

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "embed_dim": self.embed_dim}
