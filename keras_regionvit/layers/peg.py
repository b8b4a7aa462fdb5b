"""Position encoding generator (Chu et al., 2021): a depthwise convolution, added to its input."""

import keras
from keras import ops

from keras_regionvit.checks.kinds import keep_checked
from keras_regionvit.ops.depthwise import depthwise


@keras.saving.register_keras_serializable(package="keras_regionvit")
class PEG(keras.layers.Layer):
    """`x + depthwise3x3(x)` without bias; the regional and the local map share it.

    Args:
        embed_dim: int, channels C.

    Input and output shape: (B, H, W, C), float.

    Example:

    >>> PEG(96)(keras.ops.ones((2, 56, 56, 96))).shape
    (2, 56, 56, 96)
    """

    def __init__(self, embed_dim, **kwargs):
        super().__init__(**kwargs)
        keep_checked(self, embed_dim=embed_dim)
        self.conv = keras.layers.DepthwiseConv2D(
            3,
            padding="same",
            use_bias=False,
            depthwise_initializer=keras.initializers.RandomUniform(-1 / 3, 1 / 3),
            dtype=self.dtype_policy,
            name="conv",
        )

    def build(self, input_shape):
        """Creates the kernel for inputs of `input_shape` (B, H, W, C)."""
        self.conv.build((None, None, None, self.embed_dim))
        self.built = True

    def call(self, inputs):
        """Maps (B, H, W, C) to (B, H, W, C)."""
        # a copy: TensorFlow's custom gradients take tensors, no variables
        kernel = ops.copy(ops.cast(self.conv.kernel, inputs.dtype))
        return inputs + depthwise(inputs, kernel)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "embed_dim": self.embed_dim}
