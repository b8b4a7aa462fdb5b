"""Names and layouts of the official detectors' checkpoints beyond their backbone.

The keys on this side are Keras variable paths such as "fpn_lateral3/kernel".

D channels of a detector's map, A anchors a place, K classes.
"""

import re

from keras_regionvit.tasks import fpn
from keras_regionvit.tasks.detection import heads, retinanet

# Buffers that files may hold and that follow from the model's arguments here.
BUFFERS = r"(.+\.)?cell_anchors\.\d+|pixel_mean|pixel_std"
# What depends on the number of classes.
OF_CLASSES = ("head.cls_score.",)

_NUMBER = r"(\d+)"
_MODULES = (
    (fpn.LATERAL, lambda level: f"backbone.fpn_lateral{level}"),
    (fpn.OUTPUT, lambda level: f"backbone.fpn_output{level}"),
    (fpn.P6, lambda: "backbone.top_block.p6"),
    (fpn.P7, lambda: "backbone.top_block.p7"),
    (heads.CLASS_TOWER, lambda i: f"head.cls_subnet.{2 * int(i)}"),  # a relu between each
    (heads.BOX_TOWER, lambda i: f"head.bbox_subnet.{2 * int(i)}"),
    (heads.CLASS_LOGITS, lambda: "head.cls_score"),
    (heads.BOX_DELTAS, lambda: "head.bbox_pred"),
)
_LEAVES = {"kernel": "weight", "bias": "bias"}
_STATISTICS = {
    f"{retinanet.NORMALIZATION}/mean": "pixel_mean",
    f"{retinanet.NORMALIZATION}/std": "pixel_std",
}


def official_key(path):
    """The official key of a variable.

    Args:
        path: path of the Keras variable.

    Returns:
        The key.

    Raises:
        KeyError: official files have no such variable.

    Example:

    >>> official_key("class_tower1/kernel")
    'head.cls_subnet.2.weight'
    """
    if path in _STATISTICS:
        return _STATISTICS[path]
    module, _, leaf = path.rpartition("/")
    for pattern, name in _MODULES:
        if found := re.fullmatch(pattern.format(_NUMBER), module):
            return f"{name(*found.groups())}.{_LEAVES[leaf]}"
    raise KeyError(path)


def official_shape(key, shape):
    """The shape in official files of a variable of `shape`."""
    if key in _STATISTICS.values():
        return (*shape, 1, 1)
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else tuple(shape)


def to_keras(array, shape):
    """An official tensor in the layout of its Keras variable of `shape`."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)  # (out, in, kh, kw) -> (kh, kw, in, out)
    return array.reshape(shape)


def to_official(key, array):
    """The inverse of `to_keras`."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.reshape(official_shape(key, array.shape))
