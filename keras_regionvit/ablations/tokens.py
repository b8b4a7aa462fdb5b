"""Swin's stem and the absolute position embedding (paper, Tables 12 and 14).

B batch, H W image in pixels, K image channels, C embedding channels, p patch size.
"""

import keras
from keras import ops

from keras_regionvit.checks.kinds import keep_checked
from keras_regionvit.ops.shapes import is_static
from keras_regionvit.ops.windows import pad


@keras.saving.register_keras_serializable(package="keras_regionvit")
class PatchTokenizer(keras.layers.Layer):
    """One token for each patch, by a projection of its pixels and a norm.

    An image that does not divide into patches is padded with zeros at the bottom and right.

    Args:
        embed_dim: int, C.
        patch_size: int p, a power of two.
        image_channels: int, K.

    Input shape: (B, H, W, K), float. Output shape: (B, ceil(H / p), ceil(W / p), C).

    Raises:
        ValueError: `patch_size` is no power of two.

    Example:

    >>> PatchTokenizer(96)(keras.ops.ones((2, 224, 224, 3))).shape
    (2, 56, 56, 96)
    """

    def __init__(self, embed_dim, patch_size=4, image_channels=3, **kwargs):
        super().__init__(**kwargs)
        keep_checked(
            self, embed_dim=embed_dim, patch_size=patch_size, image_channels=image_channels
        )
        patch_size, image_channels = self.patch_size, self.image_channels
        bound = (image_channels * patch_size * patch_size) ** -0.5  # PyTorch's default
        uniform = keras.initializers.RandomUniform(-bound, bound)
        self.projection = keras.layers.Conv2D(
            self.embed_dim,
            patch_size,
            strides=patch_size,
            kernel_initializer=uniform,
            bias_initializer=uniform.clone(),
            dtype=self.dtype_policy,
            name="projection",
        )
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-5, dtype=self.dtype_policy, name="norm"
        )

    def build(self, input_shape):
        """Creates the weights for images of `input_shape` (B, H, W, K)."""
        self.projection.build((None, None, None, self.image_channels))
        self.norm.build((None, self.embed_dim))
        self.built = True

    def call(self, inputs):
        """Maps an image (B, H, W, K) to local tokens."""
        height, width = ops.shape(inputs)[1:3]
        return self.norm(
            self.projection(pad(inputs, 0, -height % self.patch_size, 0, -width % self.patch_size))
        )

    def compute_output_shape(self, input_shape):
        """The image's sizes over p, rounded up; `None` stays `None`."""
        sizes = [s and -(-s // self.patch_size) for s in input_shape[1:3]]
        return (input_shape[0], *sizes, self.embed_dim)

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "patch_size": self.patch_size,
            "image_channels": self.image_channels,
        }


@keras.saving.register_keras_serializable(package="keras_regionvit")
class AbsolutePosition(keras.layers.Layer):
    """Adds one learned vector to each place of the map, whose size it thereby fixes.

    Input and output shape: (B, H, W, C), float, with known H and W.

    Raises:
        ValueError: H or W is unknown, or not the one that the layer was built for.

    Example:

    >>> AbsolutePosition()(keras.ops.ones((2, 56, 56, 96))).shape
    (2, 56, 56, 96)
    """

    def build(self, input_shape):
        """Creates the embedding for inputs of `input_shape` (B, H, W, C)."""
        if not is_static(*input_shape[1:]):
            raise ValueError(
                "An absolute position embedding fixes the size of the image, which must be "
                f"known. Received: a local map of the shape {tuple(input_shape[1:])}"
            )
        self.embedding = self.add_weight(
            name="embedding",
            shape=tuple(input_shape[1:]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )

    def call(self, inputs):
        """Maps (B, H, W, C) to (B, H, W, C)."""
        if tuple(inputs.shape[1:]) != tuple(self.embedding.shape):
            raise ValueError(
                "An absolute position embedding fixes the size of the image: this one was made "
                f"for a local map of {tuple(self.embedding.shape)}. Received: {inputs.shape[1:]}"
            )
        return inputs + ops.cast(self.embedding, inputs.dtype)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """The arguments of the constructor; by itself Keras cannot save a policy."""
        return super().get_config()
