"""The RegionViT backbone: tokenizers, stages and the pyramid of local maps."""

import dataclasses
import itertools

import keras

from keras_regionvit.layers import (
    Downsampling,
    LocalTokenizer,
    RegionalTokenizer,
    RegionalToLocalStage,
)
from keras_regionvit.layers.windows import region_padding
from keras_regionvit.variants import get_variant

HEAD_DIM = 32  # channels per attention head (paper, Table 2)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RegionViTBackbone(keras.Model):
    """RegionViT without its classification head, a functional model.

    Args:
        embed_dims: channels, one entry a stage; the first sets the tokenizers, and each
            following one doubles its predecessor.
        depths: encoders, one entry a stage.
        num_heads: attention heads, one entry a stage; `None` means 32 channels a head.
        window_size: local tokens per region side, an int or one entry a stage.
        patch_size: pixels per local token side, a power of two.
        stem: "conv1" or "conv3", the local tokenizer.
        mlp_ratio: hidden width of the feed-forward networks over the channels.
        qkv_bias: whether query, key and value have a bias.
        peg: whether a position encoding generator follows each stage's first encoder.
        pyramid_norm: whether each pyramid level is normalised, as detection does; the
            normed map also feeds the next stage, as in the official release.
        drop_path_rate: stochastic depth of the last encoder; it rises linearly from 0.
        dropout_rate: dropout after each projection.
        attention_dropout_rate: dropout of the attention weights.
        gradient_checkpointing: recompute each encoder in the backward pass of training: less
            memory, more time.
        input_shape: `(height, width, channels)`; height and width may be `None` where the
            regions of every stage cover its map at any size.
        input_tensor: optional Keras tensor to use as the image.
        dtype: dtype policy of the layers, such as "mixed_bfloat16".
        name: name of the model.

    Input: images (B, H, W, channels), float, already normalised.

    Output: `{"regional_tokens": (B, Hr, Wr, C), "local_tokens": (B, Hl, Wl, C)}` of the last
    stage; the final norm belongs to the classifier.

    Raises:
        ValueError: an argument is out of range, or `window_size` does not cover the map of
            some stage at `input_shape`.

    Example:

    >>> backbone = RegionViTBackbone.from_variant("small", input_shape=(None, None, 3))
    >>> pyramid = keras.Model(backbone.input, backbone.pyramid_outputs)
    >>> {level: x.shape for level, x in pyramid(keras.ops.ones((1, 224, 320, 3))).items()}
    {'P2': (1, 56, 80, 96), 'P3': (1, 28, 40, 192), 'P4': (1, 14, 20, 384), 'P5': (1, 7, 10, 768)}

    Source: paper, section 3 and Table 2.
    """

    def __init__(
        self,
        embed_dims=(96, 192, 384, 768),
        depths=(2, 2, 8, 2),
        num_heads=None,
        window_size=7,
        patch_size=4,
        stem="conv3",
        mlp_ratio=4.0,
        qkv_bias=True,
        peg=False,
        pyramid_norm=False,
        drop_path_rate=0.0,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
        gradient_checkpointing=False,
        input_shape=(None, None, 3),
        input_tensor=None,
        dtype=None,
        name=None,
    ):
        embed_dims, depths = tuple(embed_dims), tuple(depths)
        num_heads, window_size = _check_stages(embed_dims, depths, num_heads, window_size)
        input_shape = check_input_shape(input_shape, input_tensor)
        image = keras.Input(input_shape, name="image") if input_tensor is None else input_tensor
        # after the tokenizer's own check of `patch_size`
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        tokenizer = LocalTokenizer(
            embed_dims[0], patch_size, stem, input_shape[-1], dtype=policy, name="local_tokenizer"
        )
        check_coverage(input_shape, patch_size, window_size, tokenizer)
        local = tokenizer(image)
        regional = RegionalTokenizer(
            embed_dims[0],
            patch_size * window_size[0],
            input_shape[-1],
            dtype=policy,
            name="regional_tokenizer",
        )(image)

        rates = _linear_rates(drop_path_rate, sum(depths))
        pyramid = {}
        for i, depth in enumerate(depths):
            if i > 0:
                downsample = Downsampling(
                    embed_dims[i - 1], dtype=policy, name=f"downsampling{i + 1}"
                )
                regional, local = downsample(regional), downsample(local)
            stage = RegionalToLocalStage(
                embed_dims[i],
                num_heads[i],
                window_size[i],
                drop_path_rates=[next(rates) for _ in range(depth)],
                mlp_ratio=mlp_ratio,
                qkv_bias=qkv_bias,
                peg=peg,
                dropout_rate=dropout_rate,
                attention_dropout_rate=attention_dropout_rate,
                gradient_checkpointing=gradient_checkpointing,
                dtype=policy,
                name=f"stage{i + 1}",
            )
            regional, local = stage((regional, local))
            # Each level is a layer of its own, so that it can be named and cut out.
            level = f"P{patch_size.bit_length() - 1 + i}"
            if pyramid_norm:
                to_level = keras.layers.LayerNormalization(epsilon=1e-5, dtype=policy, name=level)
            else:
                to_level = keras.layers.Identity(dtype=policy, name=level)
            local = to_level(local)
            pyramid[level] = local

        super().__init__(
            inputs=image,
            outputs={"regional_tokens": regional, "local_tokens": local},
            name=name,
        )
        # as lists and strings: a dict kept as an attribute would become a tracked one
        self._levels = list(pyramid)
        self.policy = policy
        self.embed_dims, self.depths, self.num_heads = embed_dims, depths, num_heads
        self.window_size, self.patch_size, self.stem = window_size, patch_size, stem
        self.mlp_ratio, self.qkv_bias, self.peg = mlp_ratio, qkv_bias, peg
        self.pyramid_norm, self.drop_path_rate = pyramid_norm, drop_path_rate
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.gradient_checkpointing = gradient_checkpointing

    @classmethod
    def from_variant(cls, name, **overrides):
        """A backbone of the paper's Table 2.

        Args:
            name: one of `keras_regionvit.list_models()`.
            **overrides: arguments of the constructor that differ from the table.

        Returns:
            A `RegionViTBackbone`.

        Raises:
            ValueError: `name` is unknown, or an override is out of range.

        Example:

        >>> RegionViTBackbone.from_variant("tiny_w14", peg=True, drop_path_rate=0.2)
        """
        row = dataclasses.asdict(get_variant(name))
        del row["paper"]
        return cls(**{**row, "name": f"regionvit_{name}_backbone", **overrides})

    @property
    def pyramid_outputs(self):
        """Local maps by level, `{"P2": (B, H/4, W/4, C), ...}`; a level is log2 of its stride."""
        return {level: self.get_layer(level).output for level in self._levels}

    @property
    def pyramid_level_inputs(self):
        """Names of the layers that make the levels, as keras_cv expects them."""
        return {level: level for level in self._levels}

    def get_config(self):
        """The arguments of the constructor, less `input_tensor`."""
        return {
            "embed_dims": self.embed_dims,
            "depths": self.depths,
            "num_heads": self.num_heads,
            "window_size": self.window_size,
            "patch_size": self.patch_size,
            "stem": self.stem,
            "mlp_ratio": self.mlp_ratio,
            "qkv_bias": self.qkv_bias,
            "peg": self.peg,
            "pyramid_norm": self.pyramid_norm,
            "drop_path_rate": self.drop_path_rate,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "gradient_checkpointing": self.gradient_checkpointing,
            "input_shape": tuple(self.input.shape[1:]),
            "dtype": keras.dtype_policies.serialize(self._policy_map()),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        """The backbone that `get_config` described."""
        return cls(**config)

    def _policy_map(self):
        """The policy, with the layers that were quantized since they were built."""
        quantized = {
            layer.path: layer.dtype_policy
            for layer in self._flatten_layers(include_self=False)
            if getattr(layer, "quantization_mode", None)
        }
        if not quantized:
            return self.policy
        default = getattr(self.policy, "default_policy", self.policy)
        return keras.dtype_policies.DTypePolicyMap(default, quantized)


def _linear_rates(last, count):
    """`count` rates from 0 to `last`."""
    return (last * i / max(count - 1, 1) for i in range(count))


def _check_stages(embed_dims, depths, num_heads, window_size):
    """`num_heads` and `window_size` with one entry a stage."""
    stages = len(embed_dims)
    if stages == 0 or len(depths) != stages:
        raise ValueError(
            "`embed_dims` and `depths` must have one entry a stage. "
            f"Received: embed_dims={embed_dims}, depths={depths}"
        )
    if any(depth < 1 for depth in depths):
        raise ValueError(f"`depths` must be at least 1 in every stage. Received: depths={depths}")
    for previous, width in itertools.pairwise(embed_dims):
        if width != 2 * previous:
            raise ValueError(
                "`embed_dims` must double from stage to stage, as the downsampling does. "
                f"Received: embed_dims={embed_dims}"
            )
    if num_heads is None:
        num_heads = tuple(max(width // HEAD_DIM, 1) for width in embed_dims)
    num_heads = tuple(num_heads)
    if len(num_heads) != stages:
        raise ValueError(
            f"`num_heads` must have one entry for each of the {stages} stages. "
            f"Received: num_heads={num_heads}"
        )
    windows = (window_size,) * stages if isinstance(window_size, int) else tuple(window_size)
    if len(windows) != stages or not all(isinstance(m, int) and m > 0 for m in windows):
        raise ValueError(
            "`window_size` must be a positive integer or have one for each of the "
            f"{stages} stages. Received: window_size={window_size}"
        )
    return num_heads, windows


def check_input_shape(input_shape, input_tensor=None):
    """The shape of the image, `(height, width, channels)`, checked.

    Raises:
        ValueError: the shape has not three entries or an empty one, has no channels, or the
            images of this Keras are channels first.
    """
    if keras.config.image_data_format() == "channels_first":
        raise ValueError(
            "RegionViT needs images with channels last, but "
            "`keras.config.image_data_format()` is 'channels_first'; set it to 'channels_last'."
        )
    if input_tensor is not None:
        if not keras.backend.is_keras_tensor(input_tensor):
            raise ValueError(
                f"`input_tensor` must be a Keras tensor. Received: {type(input_tensor).__name__}"
            )
        input_shape = input_tensor.shape[1:]
    shape = tuple(input_shape)
    if len(shape) != 3 or shape[-1] is None or any(s is not None and s < 1 for s in shape):
        raise ValueError(
            "`input_shape` must be (height, width, channels) with no empty side. "
            f"Received: input_shape={shape}"
        )
    return shape


def check_coverage(input_shape, patch_size, window_size, tokenizer):
    """That the regions of every stage cover its local map.

    The grid halves from stage to stage as the map does, so windows that do not shrink
    always cover it; smaller ones only up to some size.

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
