"""Other ways to halve a map's resolution (paper, Tables 9 and 14).

B batch, H W size of the map, C channels; sides are halved and rounded up.
"""

import keras
from keras import ops

from keras_regionvit.checks.kinds import keep_checked, positive_integer
from keras_regionvit.layers.downsample import Downsampling
from keras_regionvit.ops.gelu import plain_gelu
from keras_regionvit.ops.windows import pad


@keras.saving.register_keras_serializable(package="keras_regionvit")
class DenseDownsampling(keras.layers.Layer):
    """Norm -> exact GELU -> a convolution between all channels with stride 2.

    Args:
        embed_dim: int, channels C of the input; the output has 2C.
        kernel_size: int, 3, with a row and column of zeros on each side; or 2, with one at the
            bottom and right of odd sides.

    Input shape: (B, H, W, C), float. Output shape: (B, ceil(H / 2), ceil(W / 2), 2C).

    Example:

    >>> DenseDownsampling(96, kernel_size=2)(keras.ops.ones((2, 56, 56, 96))).shape
    (2, 28, 28, 192)
    """

    def __init__(self, embed_dim, kernel_size=3, **kwargs):
        super().__init__(**kwargs)
        keep_checked(self, embed_dim=embed_dim)
        embed_dim = self.embed_dim
        self.kernel_size = kernel_size = positive_integer("kernel_size", kernel_size, 3)
        dtype = self.dtype_policy
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name="norm")
        bound = (kernel_size * kernel_size * embed_dim) ** -0.5  # PyTorch's default
        uniform = keras.initializers.RandomUniform(-bound, bound)
        self.conv = keras.layers.Conv2D(
            2 * embed_dim,
            kernel_size,
            strides=2,
            kernel_initializer=uniform,
            bias_initializer=uniform.clone(),
            dtype=dtype,
            name="conv",
        )

    def build(self, input_shape):
        """Creates the weights for inputs of `input_shape` (B, H, W, C)."""
        self.norm.build((None, self.embed_dim))
        self.conv.build((None, None, None, self.embed_dim))
        self.built = True

    def call(self, inputs):
        """Maps (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), 2C)."""
        x = plain_gelu(self.norm(inputs))
        return self.conv(pad(x, 1, 1, 1, 1) if self.kernel_size == 3 else _pad_to_even(x))

    compute_output_shape = Downsampling.compute_output_shape

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "kernel_size": self.kernel_size,
        }


@keras.saving.register_keras_serializable(package="keras_regionvit")
class PatchMerging(keras.layers.Layer):
    """Each 2x2 tokens side by side -> norm -> Dense without bias, as Swin does.

    Args:
        embed_dim: int, channels C of the input; the output has 2C.

    Input shape: (B, H, W, C), float. Output shape: (B, ceil(H / 2), ceil(W / 2), 2C).

    Example:

    >>> PatchMerging(96)(keras.ops.ones((2, 56, 56, 96))).shape
    (2, 28, 28, 192)
    """

    def __init__(self, embed_dim, **kwargs):
        super().__init__(**kwargs)
        keep_checked(self, embed_dim=embed_dim)
        dtype = self.dtype_policy
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name="norm")
        self.reduction = keras.layers.Dense(
            2 * self.embed_dim,
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            dtype=dtype,
            name="reduction",
        )

    def build(self, input_shape):
        """Creates the weights for inputs of `input_shape` (B, H, W, C)."""
        self.norm.build((None, 4 * self.embed_dim))
        self.reduction.build((None, 4 * self.embed_dim))
        self.built = True

    def call(self, inputs):
        """Maps (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), 2C)."""
        x = _pad_to_even(inputs)
        _, height, width, channels = ops.shape(x)
        # (B, H, W, C) -> (B, h, 2 rows, w, 2 columns, C) -> (B, h, w, 4C), columns outermost
        x = ops.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
        x = ops.transpose(x, (0, 1, 3, 4, 2, 5))
        x = ops.reshape(x, (-1, height // 2, width // 2, 4 * channels))
        return self.reduction(self.norm(x))

    compute_output_shape = Downsampling.compute_output_shape

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "embed_dim": self.embed_dim}


def _pad_to_even(maps):
    """Zeros at the bottom and right of odd sides."""
    height, width = ops.shape(maps)[1:3]
    return pad(maps, 0, height % 2, 0, width % 2)
