"""The RegionViT backbone: tokenizers, stages and the pyramid of local maps."""

import dataclasses

import keras

from keras_regionvit.checks import check_coverage, check_input_shape, check_stages
from keras_regionvit.layers import (
    Downsampling,
    LocalTokenizer,
    RegionalTokenizer,
    RegionalToLocalStage,
)
from keras_regionvit.variants import get_variant

# What section 4.4 of the paper switches, as RegionViT has it; the rest is in `ablations`.
SWITCHES = {
    "regional_tokens": True,
    "weight_sharing": True,
    "local_keys": "own",
    "downsample": "depthwise",
    "position": "relative",
    "overlap": False,
    "attention": "regional_to_local",
}


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
        stem: "conv1" or "conv3", the local tokenizer; or "patch", Swin's.
        mlp_ratio: hidden width of the feed-forward networks over the channels.
        qkv_bias: whether query, key and value have a bias.
        peg: whether a position encoding generator follows each stage's first encoder.
        pyramid_norm: whether each pyramid level is normalised, as detection does; the
            normed map also feeds the next stage, as in the official release.
        drop_path_rate: stochastic depth of the last encoder; it rises linearly from 0.
        dropout_rate: dropout after each projection.
        attention_dropout_rate: dropout of the attention weights.
        gradient_checkpointing: recompute the local tokenizer and each encoder in the backward
            pass of training: less memory, more time.
        regional_tokens: whether there are any; without them attention stays inside regions
            unless windows are shifted, and classification is on the local tokens (Table 8).
        weight_sharing: whether regional and local attention share their weights (Table 10).
        local_keys: "own", local attention with the region's own regional token, or "all", with
            those of all regions (Table 11).
        downsample: "depthwise" 3x3, "dense3" or "dense2" convolutions between all channels
            (Table 9), or "patch_merging", Swin's (Table 14).
        position: "relative", "absolute", "both" or "none" of these; an absolute position
            fixes the size of the image (Table 12).
        overlap: whether windows reach into their neighbours by half of their size (Table 13).
        attention: "regional_to_local"; or "shifted_window", Swin's (Table 14), which needs
            `regional_tokens=False`.
        input_shape: `(height, width, channels)`; height and width may be `None` where the
            regions of every stage cover its map at any size.
        input_tensor: optional Keras tensor to use as the image.
        dtype: dtype policy of the layers, such as "mixed_bfloat16".
        name: name of the model.

    Input: images (B, H, W, channels), float, already normalised.

    Output: `{"regional_tokens": (B, Hr, Wr, C), "local_tokens": (B, Hl, Wl, C)}` of the last
    stage, or the latter alone; the final norm belongs to the classifier.

    Raises:
        ValueError: an argument is out of range or does not fit another, or `window_size` does
            not cover the map of some stage at `input_shape`.

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
        regional_tokens=True,
        weight_sharing=True,
        local_keys="own",
        downsample="depthwise",
        position="relative",
        overlap=False,
        attention="regional_to_local",
        input_shape=(None, None, 3),
        input_tensor=None,
        dtype=None,
        name=None,
    ):
        embed_dims, depths = tuple(embed_dims), tuple(depths)
        num_heads, window_size = check_stages(embed_dims, depths, num_heads, window_size)
        input_shape = check_input_shape(input_shape, input_tensor)
        switches = {
            "regional_tokens": regional_tokens,
            "weight_sharing": weight_sharing,
            "local_keys": local_keys,
            "downsample": downsample,
            "position": position,
            "overlap": overlap,
            "attention": attention,
        }
        parts = _parts(switches, stem, input_shape)
        image = keras.Input(input_shape, name="image") if input_tensor is None else input_tensor
        # after the tokenizer's own check of `patch_size`
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        tokenizer = parts["tokenizer"](
            embed_dims[0],
            patch_size,
            stem,
            input_shape[-1],
            gradient_checkpointing,
            dtype=policy,
            name="local_tokenizer",
        )
        local = tokenizer(image)
        if "position" in parts:
            local = parts["position"](dtype=policy, name="position")(local)
        maps: tuple = (local,)
        if regional_tokens:
            check_coverage(input_shape, patch_size, window_size, tokenizer)
            regional = RegionalTokenizer(
                embed_dims[0],
                patch_size * window_size[0],
                input_shape[-1],
                dtype=policy,
                name="regional_tokenizer",
            )(image)
            maps = (regional, local)

        rates = _linear_rates(drop_path_rate, sum(depths))
        pyramid = {}
        for i, depth in enumerate(depths):
            if i > 0:
                half = parts["downsampling"](
                    embed_dims[i - 1], dtype=policy, name=f"downsampling{i + 1}"
                )
                maps = tuple(half(x) for x in maps)
            stage = parts["stage"](
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
            *regional, local = stage(maps)  # the one regional map, or none
            # Each level is a layer of its own, so that it can be named and cut out.
            level = f"P{patch_size.bit_length() - 1 + i}"
            if pyramid_norm:
                to_level = keras.layers.LayerNormalization(epsilon=1e-5, dtype=policy, name=level)
            else:
                # by name: Keras cannot save an Identity that was given a policy
                to_level = keras.layers.Identity(dtype=local.dtype, name=level)
            pyramid[level] = to_level(local)
            maps = (*regional, pyramid[level])

        kinds = ("regional_tokens", "local_tokens")[-len(maps) :]
        super().__init__(inputs=image, outputs=dict(zip(kinds, maps, strict=True)), name=name)
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
        for switch, value in switches.items():
            setattr(self, switch, value)

    @classmethod
    def from_variant(cls, variant, **overrides):
        """A backbone of the paper's Table 2.

        Args:
            variant: one of `keras_regionvit.list_models()`.
            **overrides: arguments of the constructor that differ from the table.

        Returns:
            A `RegionViTBackbone`.

        Raises:
            ValueError: `variant` is unknown, or an override is out of range.

        Example:

        >>> RegionViTBackbone.from_variant("tiny_w14", peg=True, drop_path_rate=0.2)
        """
        row = dataclasses.asdict(get_variant(variant))
        del row["paper"]
        return cls(**{**row, "name": f"regionvit_{variant}_backbone", **overrides})

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
            **{switch: getattr(self, switch) for switch in SWITCHES},
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


def _parts(switches, stem, input_shape):
    """The layer classes of a model."""
    parts = {
        "tokenizer": LocalTokenizer,
        "downsampling": Downsampling,
        "stage": RegionalToLocalStage,
    }
    if switches == SWITCHES and stem != "patch":
        return parts
    from keras_regionvit.ablations import parts_of  # here: most models do without

    return parts | parts_of(switches, stem, input_shape)


def _linear_rates(last, count):
    """`count` rates from 0 to `last`."""
    return (last * i / max(count - 1, 1) for i in range(count))
