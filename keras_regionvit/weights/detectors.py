"""Names in the official detectors' checkpoints beyond their backbone.

The keys on this side are Keras variable paths such as "fpn_lateral3/kernel".
"""

import re

from keras_regionvit.tasks import fpn
from keras_regionvit.tasks.detection import heads, retinanet

# What files may hold and what follows from the arguments here, or belongs to a classifier.
IGNORED = r"(.+\.)?cell_anchors\.\d+|backbone\.bottom_up\.model\.(norm|head)\.\w+"
# What depends on the number of classes.
OF_CLASSES = ("head.cls_score.",)
# What the released detectors subtract from and divide red, green and blue by, on 0..255: the
# figures of ImageNet with blue first. Their files may lack them.
STATISTICS = {
    "pixel_mean": (103.53, 116.28, 123.675),
    "pixel_std": (57.375, 57.12, 58.395),
}

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
