"""Names and layouts of the official release's checkpoints, against those of this package.

Both directions are pure: dictionaries of NumPy arrays in, dictionaries out. The keys on
this side are Keras variable paths such as "stage1/encoder2/attention/qkv/kernel".

M window size, C channels, N heads, p patch size.
"""

import math
import re

import numpy as np

from keras_regionvit.backbone import (
    DOWNSAMPLING,
    LEVEL,
    LOCAL_TOKENIZER,
    REGIONAL_TOKENIZER,
    STAGE,
)
from keras_regionvit.layers.stage import ENCODER, PEG_NAME
from keras_regionvit.tasks.classification import HEAD, NORM
from keras_regionvit.tasks.detection.region_heads import POOLED
from keras_regionvit.weights import resize
from keras_regionvit.weights.detectors import STATISTICS

# Official files list the downsampling weights twice: `proj` and `proj_cls` are one module.
_TWIN = (".block.0.proj.", ".block.0.proj_cls.")
DETECTOR_PREFIX = "backbone.bottom_up.model."

_DETECTOR = (
    r"backbone\.(fpn_|top_block)|head\.(cls|bbox)_(subnet|score|pred)|proposal_generator\."
    r"|roi_heads\.(mask|keypoint)_head\."
)
_FLATTENED = "roi_heads.box_head.fc1.weight"
_DENSE = r"(qkv|attn\.proj|fc1|fc2|head|box_predictor\.\w+)\.weight$"
_KIND = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}
_NUMBER = r"(\d+)"
_IN_ENCODER = f"{STAGE.format(_NUMBER)}/{ENCODER.format(_NUMBER)}"
_ENCODER = {
    "regional_norm": "norm0",
    "local_norm": "norm1",
    "mlp_norm": "norm2",
    "attention/qkv": "attn.qkv",
    "attention/proj": "attn.proj",
    "mlp/fc1": "mlp.fc1",
    "mlp/fc2": "mlp.fc2",
}


def official_key(path, stem, first_level):
    """The official key of a variable.

    Args:
        path: path of the Keras variable.
        stem: "conv1" or "conv3", which name the tokenizer's convolutions differently.
        first_level: level of the first stage, 2 for "P2".

    Returns:
        The key, for a downsampling variable the one under `proj`.
    """
    module, _, leaf = path.rpartition("/")
    if found := re.fullmatch(f"{_IN_ENCODER}/attention/position_bias_table", path):
        return f"layers.{int(found[1]) - 1}.block.{found[2]}.attn.rel_pos"
    kind = _KIND[leaf]
    if module in (NORM, HEAD):
        return f"{'norm' if module == NORM else 'head'}.{kind}"
    if module == f"{REGIONAL_TOKENIZER}/conv":
        return f"cls_token.proj.{kind}"
    if found := re.fullmatch(rf"{LOCAL_TOKENIZER}/(conv|norm)(\d)", module):
        place = 3 * (int(found[2]) - 1) + (found[1] == "norm")
        return f"patch_embed.proj.{kind}" if stem == "conv1" else f"patch_embed.proj.{place}.{kind}"
    if found := re.fullmatch(DOWNSAMPLING.format(_NUMBER) + "(/norm)?", module):
        return f"layers.{int(found[1]) - 1}.block.0.proj.{0 if found[2] else 2}.{kind}"
    if found := re.fullmatch(f"{_IN_ENCODER}/(.+)", module):
        return f"layers.{int(found[1]) - 1}.block.{found[2]}.{_ENCODER[found[3]]}.{kind}"
    if found := re.fullmatch(f"{STAGE.format(_NUMBER)}/{PEG_NAME}/conv", module):
        return f"layers.{int(found[1]) - 1}.peg.{kind}"
    if found := re.fullmatch(LEVEL.format(_NUMBER), module):
        return f"norm{int(found[1]) - first_level}.{kind}"
    raise KeyError(path)


def twin_keys(key):
    """All keys under which official files hold the tensor of `key`."""
    return [key, key.replace(*_TWIN)] if _TWIN[0] in key else [key]


def is_optional(key):
    """Whether official files may lack `key`: pyramid norms, PEG and a detector's statistics."""
    key = key.removeprefix(DETECTOR_PREFIX)
    known = r"norm\d+\.(weight|bias)|layers\.\d+\.peg\.weight|pixel_(mean|std)"
    return re.fullmatch(known, key) is not None


def optional_value(key, shape):
    """What an absent optional variable becomes: a norm the identity, a PEG zero.

    The statistics of pixels become those of the released detectors.
    """
    key = key.removeprefix(DETECTOR_PREFIX)
    if key in STATISTICS:
        return np.reshape(STATISTICS[key], shape)
    return np.full(shape, 1.0 if key.startswith("norm") and key.endswith("weight") else 0.0)


def _layout(key):
    """How the tensor of an official key is laid out."""
    key = key.removeprefix(DETECTOR_PREFIX)
    if key in STATISTICS:
        return "statistic"
    if key == _FLATTENED:
        return "flattened"
    if re.match(_DETECTOR, key):
        return "convolution" if key.endswith("weight") else "vector"
    if key.endswith(".rel_pos"):
        return "table"
    if re.fullmatch(r"layers\.\d+\.(peg|block\.0\.proj\.2)\.weight", key):
        return "depthwise"
    if re.match(r"patch_embed\.proj\.[14]\.|layers\.\d+\.block\.0\.proj\.0\.|norm\d", key):
        return "map norm"
    if key.startswith(("patch_embed.", "cls_token.")) and key.endswith("weight"):
        return "convolution"
    return "dense" if re.search(_DENSE, key) else "vector"


def official_shape(key, shape):
    """The shape in official files of a variable of `shape`."""
    layout = _layout(key)
    if layout == "map norm":
        return (1, *shape, 1, 1)
    if layout == "statistic":
        return (*shape, 1, 1)
    if layout == "depthwise":
        return (shape[2] * shape[3], 1, *shape[:2])
    if layout == "convolution":
        return (shape[3], shape[2], *shape[:2])
    return tuple(shape[::-1]) if len(shape) == 2 and layout != "table" else tuple(shape)


def fits(key, found, shape):
    """Whether a tensor of shape `found` can become a variable of `shape`, resized if need be."""
    expected = official_shape(key, shape)
    if len(found) != len(expected):
        return False
    if key.endswith("cls_token.proj.weight"):
        return found[:2] == expected[:2] and found[2] == found[3] > 0
    if _layout(key) == "table":
        side = math.isqrt(found[1])
        return found[0] == expected[0] and side * side == found[1] and side % 2 == 1
    return tuple(found) == expected


def to_keras(key, array, shape):
    """An official tensor in the layout of its Keras variable, its window resized if need be.

    Args:
        key: official key.
        array: tensor in the official layout, for which `fits` holds.
        shape: shape of the Keras variable.

    Returns:
        An array of `shape`.
    """
    layout = _layout(key)
    if layout == "table":
        side = math.isqrt(array.shape[1])
        plain = _shift_table(array.reshape(-1, side, side), forward=True)
        return resize.resize_table(plain.reshape(array.shape), shape)
    if layout == "convolution":
        if key.endswith("cls_token.proj.weight"):
            array = resize.resize_bicubic(array, shape[:2])
        return array.transpose(2, 3, 1, 0)  # (out, in, kh, kw) -> (kh, kw, in, out)
    if layout == "depthwise":  # (C * K, 1, kh, kw) -> (kh, kw, C, K)
        return array.reshape(shape[2], shape[3], *shape[:2]).transpose(2, 3, 0, 1)
    if layout == "flattened":  # (D, C * h * w) -> (h * w * C, D)
        channels = array.shape[1] // POOLED**2
        split = array.reshape(-1, channels, POOLED, POOLED)
        return split.transpose(2, 3, 1, 0).reshape(shape)
    return array.T if layout == "dense" else array.reshape(shape)


def to_official(key, array):
    """The inverse of `to_keras`, at the same window.

    Args:
        key: official key.
        array: value of the Keras variable.

    Returns:
        The tensor in the official layout.
    """
    layout, shape = _layout(key), official_shape(key, array.shape)
    if layout == "table":
        side = math.isqrt(array.shape[1])
        return _shift_table(array.reshape(-1, side, side), forward=False).reshape(shape)
    if layout == "convolution":
        return array.transpose(3, 2, 0, 1)
    if layout == "depthwise":
        return array.transpose(2, 3, 0, 1).reshape(shape)
    if layout == "flattened":
        split = array.reshape(POOLED, POOLED, -1, array.shape[1])
        return split.transpose(3, 2, 0, 1).reshape(shape)
    return array.T if layout == "dense" else array.reshape(shape)


def _shift_table(tables, forward):
    """Between the official index order, which wraps around, and the plain one.

    Official entry `(key - query + M // 2) mod (2M - 1)`, plain `key - query + M - 1`.
    """
    window_size = (tables.shape[-1] + 1) // 2
    shift = window_size - 1 - window_size // 2
    return np.roll(tables, (shift, shift) if forward else (-shift, -shift), axis=(1, 2))
