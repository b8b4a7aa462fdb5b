"""The RegionViT backbone: tokenizers, stages and the pyramid of local maps."""

import dataclasses

import keras

from keras_regionvit.checks.models import (
    SETTINGS,
    SWITCHES,
    check_channels,
    check_input_shape,
    check_name,
    check_policy,
    check_settings,
)
from keras_regionvit.layers import (
    Downsampling,
    LocalTokenizer,
    RegionalTokenizer,
    RegionalToLocalStage,
)
from keras_regionvit.layers.drop_path import rising_rates
from keras_regionvit.layers.tokenizers import check_coverage
from keras_regionvit.layers.trainable import (
    enable_lora,
    policy_of,
    set_trainable,
    trainable_config,
)
from keras_regionvit.variants import get_variant

# The names of the layers, which paths of weights begin with; stages are counted from 1.
IMAGE = "image"
LOCAL_TOKENIZER = "local_tokenizer"
REGIONAL_TOKENIZER = "regional_tokenizer"
DOWNSAMPLING = "downsampling{}"
STAGE = "stage{}"
LEVEL = "P{}"


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RegionViTBackbone(keras.Model):
    """RegionViT without its classification head, a functional model.

    Args:
        embed_dims: ints, channels, one entry a stage; the first sets the tokenizers, and each
            following one doubles its predecessor.
        depths: encoders, an int or one entry a stage.
        num_heads: attention heads, an int or one entry a stage; `None` means 32 channels a head.
        window_size: local tokens per region side, an int or one entry a stage.
        patch_size: int, pixels per local token side, a power of two.
        stem: "conv1" or "conv3", the local tokenizer; or "patch", Swin's.
        mlp_ratio: float, hidden width of the feed-forward networks over the channels.
        qkv_bias: bool, whether query, key and value have a bias.
        peg: bool, whether a position encoding generator follows each stage's first encoder.
        pyramid_norm: bool, whether each pyramid level is normalised, as detection does; the
            normed map also feeds the next stage, as in the official release.
        drop_path_rate: float in [0, 1), stochastic depth of the last encoder; it rises linearly
            from 0.
        dropout_rate: float in [0, 1), dropout after each projection.
        attention_dropout_rate: float in [0, 1), dropout of the attention weights.
        gradient_checkpointing: bool, whether to compute the local tokenizer and each encoder again
            in the backward pass of training: less memory, more time.
        regional_tokens: bool, whether there are any; without them attention stays inside regions
            unless windows are shifted, and classification is on the local tokens (Table 8).
        weight_sharing: bool, whether regional and local attention share their weights (Table 10).
        local_keys: "own", local attention with the region's own regional token, or "all", with
            those of all regions (Table 11).
        downsample: "depthwise" 3x3, "dense3" or "dense2" convolutions between all channels
            (Table 9), or "patch_merging", Swin's (Table 14).
        position: "relative", "absolute", "both" or "none" of these; an absolute position
            fixes the size of the image (Table 12).
        overlap: bool, whether windows reach into their neighbours by half of their size (Table 13).
        attention: "regional_to_local"; or "shifted_window", Swin's (Table 14), which needs
            `regional_tokens=False`.
        input_shape: `(height, width, channels)` in pixels; height and width may be `None` where
            the regions of every stage cover its map at any size.
        input_tensor: optional Keras tensor to use as the image.
        dtype: dtype policy of the layers, such as "mixed_bfloat16".
        name: name of the model.

    Input: images (B, H, W, channels), float, already normalised.

    Output: `{"regional_tokens": (B, Hr, Wr, C), "local_tokens": (B, Hl, Wl, C)}` of the last
    stage, or the latter alone, of the compute dtype; the final norm belongs to the classifier.

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
        settings = check_settings(locals())
        input_shape = check_input_shape(input_shape, input_tensor, floats=True)
        policy = check_policy(dtype)
        check_name(name)
        layers = _layer_classes(settings, input_shape)
        image = keras.Input(input_shape, name=IMAGE) if input_tensor is None else input_tensor

        maps = _tokens(image, settings, layers, policy)
        pyramid = {}
        for i in range(len(settings.depths)):
            *regional, local = _stage(i, maps, settings, layers, policy)
            # log2 of its stride
            level = LEVEL.format(settings.patch_size.bit_length() - 1 + i)
            pyramid[level] = _level(level, local, settings.pyramid_norm, policy)
            maps = (*regional, pyramid[level])

        kinds = ("regional_tokens", "local_tokens")[-len(maps) :]
        super().__init__(inputs=image, outputs=dict(zip(kinds, maps, strict=True)), name=name)
        self.policy = policy
        # as a list of strings: a dict kept as an attribute would become a tracked one
        self._levels = list(pyramid)
        for setting, value in vars(settings).items():
            setattr(self, setting, value)

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
        """The arguments of the constructor, less `input_tensor`; and which layers learn."""
        return {
            **{setting: getattr(self, setting) for setting in SETTINGS},
            "input_shape": tuple(self.input.shape[1:]),
            "dtype": keras.dtype_policies.serialize(policy_of(self)),
            "name": self.name,
            **trainable_config(self),
        }

    @classmethod
    def from_config(cls, config):
        """The backbone that `get_config` described; that of version 0.1 learnt as a whole."""
        learns = ("trainable", "trainable_layers", "lora")
        backbone = cls(**{key: value for key, value in config.items() if key not in learns})
        set_trainable(backbone, **{key: config[key] for key in learns if key in config})
        return backbone

    def __call__(self, *args, **kwargs):
        """The outputs of images, which must have the channels that the backbone takes."""
        check_channels(self, *args)
        return super().__call__(*args, **kwargs)

    def enable_lora(self, rank, target_layer_names=("qkv", "proj")):
        """Freezes the backbone but for low-rank additions to the kernels of some Dense layers.

        As `enable_lora` of keras_hub's backbones. A saved model has the additions in its kernels
        and goes on with new ones. Compile the model afterwards.

        Args:
            rank: int, rank of the additions.
            target_layer_names: names of the Dense layers, of "qkv", "proj", "fc1" and "fc2".

        Raises:
            ValueError: an argument is not as above, or LoRA is already on.

        Example:

        >>> model.backbone.enable_lora(4)
        """
        enable_lora(self, rank, target_layer_names)


def _layer_classes(settings, input_shape):
    """What makes the layers of a model: `{"tokenizer", "downsampling", "stage"[, "position"]}`."""
    layers = {
        "tokenizer": LocalTokenizer,
        "downsampling": Downsampling,
        "stage": RegionalToLocalStage,
    }
    switches = {name: getattr(settings, name) for name in SWITCHES}
    if switches == SWITCHES and settings.stem != "patch":
        return layers
    from keras_regionvit.ablations import parts_of  # here: most models do without

    return layers | parts_of(switches, settings.stem, input_shape)


def _tokens(image, settings, layers, policy):
    """The maps of tokens of an image: the regional one, if there is any, and the local one."""
    width, channels = settings.embed_dims[0], image.shape[-1]
    tokenizer = layers["tokenizer"](
        width,
        settings.patch_size,
        settings.stem,
        channels,
        settings.gradient_checkpointing,
        dtype=policy,
        name=LOCAL_TOKENIZER,
    )
    local = tokenizer(image)
    if "position" in layers:
        local = layers["position"](dtype=policy, name="position")(local)
    if not settings.regional_tokens:
        return (local,)
    check_coverage(image.shape[1:], settings.patch_size, settings.window_size, tokenizer)
    region = settings.patch_size * settings.window_size[0]
    regional = RegionalTokenizer(width, region, channels, dtype=policy, name=REGIONAL_TOKENIZER)
    return regional(image), local


def _stage(i, maps, settings, layers, policy):
    """The maps after stage `i`, from 0, and after the downsampling before it."""
    if i > 0:
        half = layers["downsampling"](
            settings.embed_dims[i - 1], dtype=policy, name=DOWNSAMPLING.format(i + 1)
        )
        maps = tuple(half(x) for x in maps)
    stage = layers["stage"](
        settings.embed_dims[i],
        settings.num_heads[i],
        settings.window_size[i],
        drop_path_rates=rising_rates(settings.drop_path_rate, settings.depths)[i],
        mlp_ratio=settings.mlp_ratio,
        qkv_bias=settings.qkv_bias,
        peg=settings.peg,
        dropout_rate=settings.dropout_rate,
        attention_dropout_rate=settings.attention_dropout_rate,
        gradient_checkpointing=settings.gradient_checkpointing,
        dtype=policy,
        name=STAGE.format(i + 1),
    )
    return stage(maps)


def _level(level, local, pyramid_norm, policy):
    """A level of the pyramid: a layer of its own, so that it can be named and cut out."""
    if pyramid_norm:
        return keras.layers.LayerNormalization(epsilon=1e-5, dtype=policy, name=level)(local)
    # of a dtype by its name: Keras cannot save an Identity that was given a policy
    return keras.layers.Identity(dtype=local.dtype, name=level)(local)
