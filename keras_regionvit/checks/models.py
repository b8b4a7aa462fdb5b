"""What the arguments of models must be, one by one and together."""

import itertools
import types

import keras

from keras_regionvit.checks.kinds import (
    LARGEST_WINDOW,
    checked,
    entries_of,
    integer,
    per_stage,
    refuse,
    shown,
)

HEAD_DIM = 32  # channels per attention head (paper, Table 2)
_PRECISIONS = ("float16", "bfloat16", "float32", "float64")
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
# The arguments of the constructor that become attributes and configuration.
PER_STAGE = ("embed_dims", "depths", "num_heads", "window_size")
SETTINGS = (
    *PER_STAGE,
    "patch_size",
    "stem",
    "mlp_ratio",
    "qkv_bias",
    "peg",
    "pyramid_norm",
    "drop_path_rate",
    "dropout_rate",
    "attention_dropout_rate",
    "gradient_checkpointing",
    *SWITCHES,
)


def check_settings(given):
    """The settings of a backbone, checked one by one and those of stages together.

    Args:
        given: dict of its arguments by name, among others.

    Returns:
        A namespace of plain values, of all names in `SETTINGS`.

    Raises:
        ValueError: an argument is out of range or does not fit another.
    """
    alone = {name: given[name] for name in SETTINGS if name not in PER_STAGE}
    together = check_stages(**{name: given[name] for name in PER_STAGE})
    return types.SimpleNamespace(**together, **checked(**alone))


def check_stages(embed_dims, depths, num_heads, window_size):
    """The arguments of a backbone that have one entry a stage.

    Args: as of `RegionViTBackbone`.

    Returns:
        A dict of tuples of ints by the names of the arguments.

    Raises:
        ValueError: an argument has not one fitting entry for each stage.
    """
    embed_dims = per_stage("embed_dims", embed_dims)
    stages = len(embed_dims)
    for previous, width in itertools.pairwise(embed_dims):
        if width != 2 * previous:
            raise ValueError(
                "`embed_dims` must double from stage to stage, as the downsampling does. "
                f"Received: embed_dims={shown(embed_dims)}"
            )
    if num_heads is None:
        num_heads = tuple(max(width // HEAD_DIM, 1) for width in embed_dims)
    num_heads = per_stage("num_heads", num_heads, stages)
    for width, heads in zip(embed_dims, num_heads, strict=True):
        check_heads(width, heads)
    return {
        "embed_dims": embed_dims,
        "depths": per_stage("depths", depths, stages),
        "num_heads": num_heads,
        "window_size": per_stage("window_size", window_size, stages, LARGEST_WINDOW),
    }


def check_heads(embed_dim, num_heads):
    """That channels divide into heads; otherwise a `ValueError`."""
    if embed_dim % num_heads:
        raise ValueError(
            "`embed_dim` must be a multiple of `num_heads`. "
            f"Received: embed_dim={embed_dim}, num_heads={num_heads}"
        )


def check_input_shape(input_shape, input_tensor=None, floats=False):
    """The shape of the image, checked.

    Args:
        input_shape: `(height, width, channels)` in pixels; height and width may be `None`.
        input_tensor: optional Keras tensor (B, height, width, channels), whose shape it then is.
        floats: bool, whether that tensor must be of floats.

    Returns:
        A tuple `(height, width, channels)` of ints and `None`.

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
        check_keras_tensor("input_tensor", input_tensor)
        if floats and not keras.backend.is_float_dtype(input_tensor.dtype):
            raise ValueError(f"`input_tensor` must be of floats. Received: {input_tensor.dtype}")
        input_shape = input_tensor.shape[1:]
    sides = tuple(s if s is None else integer(s) or 0 for s in entries_of(input_shape) or ())
    if len(sides) != 3 or sides[-1] is None or 0 in sides:
        refuse("input_shape", "(height, width, channels) with no empty side", input_shape)
    return sides


def check_activation(activation):
    """That Keras knows an activation, a name or a function; otherwise a `ValueError`."""
    try:
        keras.activations.get(activation)
    except Exception:  # of whatever kind Keras raises for what was given
        wanted = "None, the name of an activation of Keras' such as 'softmax', or a function"
        refuse("classifier_activation", wanted, activation)


def check_name(name):
    """That a model can have a name, or `None`; otherwise a `ValueError`."""
    if name is not None and (not isinstance(name, str) or not name or "/" in name):
        refuse("name", "None or text without a slash", name)


def check_keras_tensor(name, value):
    """That an argument is one Keras tensor of images; otherwise a `ValueError`."""
    if not keras.backend.is_keras_tensor(value) or len(value.shape) != 4:
        received = shown(getattr(value, "shape", type(value).__name__))
        raise ValueError(
            f"`{name}` must be a Keras tensor (batch, height, width, channels). "
            f"Received: {received}"
        )


def check_channels(model, images=None, *_):
    """That images have the axes and channels that a model takes; otherwise a `ValueError`."""
    takes: tuple = getattr(model.input, "shape", ())
    given: tuple = getattr(images, "shape", ())
    if len(takes) != 4 or not given:
        return
    # Keras adds and drops an axis of one channel by itself
    grey = (len(given) == 3 and takes[-1] == 1) or (len(given) == 5 and given[-1] == 1)
    if len(given) != 4 and not grey:
        raise ValueError(
            f"The model {model.name!r} takes images (batch, height, width, {takes[-1]}). Received: "
            f"the shape {shown(tuple(given))}"
        )
    if len(given) == 4 and given[-1] not in (None, takes[-1]):
        raise ValueError(
            f"The model {model.name!r} takes images with {_channels(takes[-1])}. Received: images "
            f"with {_channels(given[-1])}, of the shape {tuple(given)}"
        )


def _channels(number):
    return f"{number} channel" + "s" * (number != 1)


def check_policy(dtype):
    """The dtype policy of a model, of a name, a policy or a saved one; `None` means Keras' own.

    Raises:
        ValueError: it is none, or one that does not compute in floats.
    """
    try:
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        computes = getattr(policy, "default_policy", policy).compute_dtype
    except Exception:  # of whatever kind Keras raises for what was given
        computes = None
    if computes not in _PRECISIONS:
        refuse("dtype", "a dtype policy of floats, such as 'float32' or 'mixed_bfloat16'", dtype)
    return policy
