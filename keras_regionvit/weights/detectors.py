"""Names in the official detectors' checkpoints beyond their backbone.

The keys on this side are Keras variable paths such as "fpn_lateral3/kernel".
"""

import re

from keras_regionvit.tasks import fpn
from keras_regionvit.tasks.detection import heads, region_heads, retinanet, rpn
from keras_regionvit.tasks.detection.rcnn import RegionDetector

# What files may hold and what follows from the arguments here, or belongs to a classifier.
IGNORED = r"(.+\.)?cell_anchors\.\d+|backbone\.bottom_up\.model\.(norm|head)\.\w+"
# What depends on the number of classes or of keypoints, together.
OF_CLASSES = (
    ("head.cls_score.",),
    ("roi_heads.box_predictor.", "roi_heads.mask_head.predictor."),
    ("roi_heads.keypoint_head.score_lowres.",),
)
DETECTORS = (retinanet.RetinaNet, RegionDetector)
# What the released detectors subtract from and divide red, green and blue by, on 0..255: the
# figures of ImageNet with blue first. Their files may lack them.
STATISTICS = {
    "pixel_mean": (103.53, 116.28, 123.675),
    "pixel_std": (57.375, 57.12, 58.395),
}

_NUMBER = r"(\d+)"
_PROPOSALS = "proposal_generator.rpn_head"
_MODULES = (
    (fpn.LATERAL, lambda level: f"backbone.fpn_lateral{level}"),
    (fpn.OUTPUT, lambda level: f"backbone.fpn_output{level}"),
    (fpn.P6, lambda: "backbone.top_block.p6"),
    (fpn.P7, lambda: "backbone.top_block.p7"),
    (heads.CLASS_TOWER, lambda i: f"head.cls_subnet.{2 * int(i)}"),  # a relu between each
    (heads.BOX_TOWER, lambda i: f"head.bbox_subnet.{2 * int(i)}"),
    (heads.CLASS_LOGITS, lambda: "head.cls_score"),
    (heads.BOX_DELTAS, lambda: "head.bbox_pred"),
    (rpn.CONV, lambda: f"{_PROPOSALS}.conv"),
    (rpn.OBJECTNESS, lambda: f"{_PROPOSALS}.objectness_logits"),
    (rpn.DELTAS, lambda: f"{_PROPOSALS}.anchor_deltas"),
    (region_heads.BOX_DENSE, lambda i: f"roi_heads.box_head.fc{i}"),
    (region_heads.BOX_SCORES, lambda: "roi_heads.box_predictor.cls_score"),
    (region_heads.BOX_DELTAS, lambda: "roi_heads.box_predictor.bbox_pred"),
    (region_heads.MASK_CONV, lambda i: f"roi_heads.mask_head.mask_fcn{i}"),
    (region_heads.MASK_DECONV, lambda: "roi_heads.mask_head.deconv"),
    (region_heads.MASK_LOGITS, lambda: "roi_heads.mask_head.predictor"),
    (region_heads.KEYPOINT_CONV, lambda i: f"roi_heads.keypoint_head.conv_fcn{i}"),
    (region_heads.KEYPOINT_DECONV, lambda: "roi_heads.keypoint_head.score_lowres"),
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
