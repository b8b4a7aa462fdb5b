"""Local and regional tokens from an image (paper, section 3 and Table 2).

B batch, H W image in pixels, K image channels, C embedding channels, p patch size,
M window size, Hr Wr regional grid.
"""

import itertools

import keras
from keras import ops

from keras_regionvit.checks.kinds import choice, keep_checked
from keras_regionvit.layers.layer_norm import normalize
from keras_regionvit.ops.gelu import gelu
from keras_regionvit.ops.shapes import is_static
from keras_regionvit.ops.windows import pad, region_padding


def _torch_convolution(filters, kernel_size, strides, fan_in, **kwargs):
    """A Conv2D without padding, initialised as PyTorch does by default."""
    bound = fan_in**-0.5
    uniform = keras.initializers.RandomUniform(-bound, bound)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        kernel_initializer=uniform,
        bias_initializer=uniform.clone(),
        **kwargs,
    )


def _stem_convolutions(stem, embed_dim, patch_size):
    """`(filters, kernel, stride, padding)` of each convolution of a stem."""
    if stem == "conv1":
        return [(embed_dim, max(2 * patch_size, 3), patch_size, max(patch_size - 1, 1))]
    if embed_dim % 4:
        raise ValueError(
            "`embed_dim` must be a multiple of 4 with stem='conv3'. "
            f"Received: embed_dim={embed_dim}"
        )
    # p = 4 is 2 * 2 * 1 (paper, Table 2); other sizes spread their factors alike
    doublings = patch_size.bit_length() - 1
    strides = [2 ** ((doublings + 2 - i) // 3) for i in range(3)]
    kernels = [max(2 * stride - 1, 3) for stride in strides]
    filters = [embed_dim // 4, embed_dim // 2, embed_dim]
    return [(f, k, s, k // 2) for f, k, s in zip(filters, kernels, strides, strict=True)]


def _check_size(shape, smallest=1):
    if any(is_static(size) and size < smallest for size in shape[1:3]):
        raise ValueError(
            f"the image must have at least {smallest} rows and columns. "
            f"Received: {shape[1]}x{shape[2]} pixels"
        )


@keras.saving.register_keras_serializable(package="keras_regionvit")
class LocalTokenizer(keras.layers.Layer):
    """One token for each patch, by one or three convolutions.

    Args:
        embed_dim: int C; a multiple of 4 with the stem "conv3".
        patch_size: int p, a power of two.
        stem: "conv1", a convolution of kernel 2p; or "conv3", three of kernel 3 with
            C / 4, C / 2 and C channels and norm and GELU between.
        image_channels: int, K.
        gradient_checkpointing: bool, keep only the image for the backward pass of training and
            compute the rest again: less memory, more time.

    Input shape: (B, H, W, K), float. Output shape: (B, H / p, W / p, C), rounded as the
    convolutions do.

    Raises:
        ValueError: an argument is not one of the above, or the image is empty.

    Example:

    >>> LocalTokenizer(96)(keras.ops.ones((2, 224, 224, 3))).shape
    (2, 56, 56, 96)
    """

    def __init__(
        self,
        embed_dim,
        patch_size=4,
        stem="conv3",
        image_channels=3,
        gradient_checkpointing=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        keep_checked(
            self,
            embed_dim=embed_dim,
            patch_size=patch_size,
            image_channels=image_channels,
            gradient_checkpointing=gradient_checkpointing,
        )
        self.stem = choice("stem", stem, ("conv1", "conv3"))
        self.convolutions = _stem_convolutions(stem, self.embed_dim, self.patch_size)
        _, kernel, _, padding = self.convolutions[0]
        self.smallest = max(1, kernel - 2 * padding)  # "conv1": the kernel exceeds its padding
        dtype = self.dtype_policy
        self.convs, self.norms = [], []
        channels = self.image_channels
        for i, (filters, kernel, stride, _) in enumerate(self.convolutions, 1):
            fan_in = channels * kernel * kernel
            self.convs.append(
                _torch_convolution(filters, kernel, stride, fan_in, dtype=dtype, name=f"conv{i}")
            )
            channels = filters
        for i in range(1, len(self.convolutions)):
            norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name=f"norm{i}")
            self.norms.append(norm)

    def build(self, input_shape):
        """Creates the weights for images of `input_shape` (B, H, W, K)."""
        _check_size(input_shape, self.smallest)
        channels = self.image_channels
        for conv, (filters, *_) in zip(self.convs, self.convolutions, strict=True):
            conv.build((None, None, None, channels))
            channels = filters
        for norm, (filters, *_) in zip(self.norms, self.convolutions, strict=False):
            norm.build((None, filters))
        self.built = True

    def call(self, inputs, training=False):
        """Maps an image (B, H, W, K) to local tokens (B, H / p, W / p, C)."""
        _check_size(ops.shape(inputs), self.smallest)

        def tokens(images):
            return self._tokens(images, training)

        if self.gradient_checkpointing and training:
            tokens = keras.remat(tokens)
        return tokens(inputs)

    def _tokens(self, x, training):
        for i, (conv, (*_, padding)) in enumerate(zip(self.convs, self.convolutions, strict=True)):
            x = conv(pad(x, padding, padding, padding, padding))
            if i < len(self.norms):
                x = gelu(normalize(x, self.norms[i], training), training)
        return x

    def compute_output_shape(self, input_shape):
        """The image's sizes through the convolutions; `None` stays `None`."""
        sizes = list(input_shape[1:3])
        for _, kernel, stride, padding in self.convolutions:
            sizes = [s and (s + 2 * padding - kernel) // stride + 1 for s in sizes]
        return (input_shape[0], *sizes, self.embed_dim)

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "patch_size": self.patch_size,
            "stem": self.stem,
            "image_channels": self.image_channels,
            "gradient_checkpointing": self.gradient_checkpointing,
        }


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RegionalTokenizer(keras.layers.Layer):
    """One token for each region, by one linear projection of its pixels.

    An image that does not divide into regions is padded with zeros on all sides.

    Args:
        embed_dim: int, C.
        region: int, pixels per region side, patch size times window size.
        image_channels: int, K.

    Input shape: (B, H, W, K), float. Output shape: (B, Hr, Wr, C).

    Raises:
        ValueError: the image is empty.

    Example:

    >>> RegionalTokenizer(96, region=28)(keras.ops.ones((2, 224, 224, 3))).shape
    (2, 8, 8, 96)
    """

    def __init__(self, embed_dim, region, image_channels=3, **kwargs):
        super().__init__(**kwargs)
        keep_checked(self, embed_dim=embed_dim, region=region, image_channels=image_channels)
        region = self.region
        fan_in = self.image_channels * region * region
        self.conv = _torch_convolution(
            self.embed_dim, region, region, fan_in, dtype=self.dtype_policy, name="conv"
        )

    def build(self, input_shape):
        """Creates the weights for images of `input_shape` (B, H, W, K)."""
        _check_size(input_shape)
        self.conv.build((None, None, None, self.image_channels))
        self.built = True

    def call(self, inputs):
        """Maps an image (B, H, W, K) to regional tokens (B, Hr, Wr, C)."""
        shape = ops.shape(inputs)
        _check_size(shape)
        rows, columns = region_padding(shape[1], shape[2], self.region)
        top, left = rows // 2, columns // 2
        return self.conv(pad(inputs, top, rows - top, left, columns - left))

    def compute_output_shape(self, input_shape):
        """The regional grid; unknown if either side of the image is."""
        batch, height, width, _ = input_shape
        grid = (None, None)
        if is_static(height, width):
            rows, columns = region_padding(height, width, self.region)
            grid = (height + rows) // self.region, (width + columns) // self.region
        return (batch, *grid, self.embed_dim)

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "region": self.region,
            "image_channels": self.image_channels,
        }


def check_coverage(input_shape, patch_size, window_size, tokenizer):
    """That the regions of every stage cover its local map.

    The grid halves from stage to stage as the map does, so windows that do not shrink
    always cover it; smaller ones only up to some size.

    Args:
        input_shape: `(height, width, channels)` of the image.
        patch_size: int, pixels per local token side.
        window_size: tuple of ints, local tokens per region side of each stage.
        tokenizer: the layer that makes the local tokens.

    Raises:
        ValueError: some stage's regions do not cover its map.
    """
    if all(a <= b for a, b in itertools.pairwise(window_size)):
        return
    height, width = input_shape[:2]
    fits = height is not None and width is not None
    if fits:
        region = patch_size * window_size[0]
        rows, columns = region_padding(height, width, region)
        grid = (height + rows) // region, (width + columns) // region
        size = tokenizer.compute_output_shape((None, *input_shape))[1:3]
        for window in window_size:
            fits = fits and all(g * window >= s for g, s in zip(grid, size, strict=True))
            grid, size = (tuple((n + 1) // 2 for n in sizes) for sizes in (grid, size))
    if not fits:
        raise ValueError(
            f"`window_size`={tuple(window_size)} does not cover the map of every stage at "
            f"input_shape={tuple(input_shape)}; window_size={max(window_size)} covers any size."
        )
