"""Mask R-CNN on any backbone with a pyramid (paper, section 4.2 and appendix A.2)."""

import keras

from keras_regionvit.checks.kinds import flag, positive_integer, rate
from keras_regionvit.tasks.detection.instance_masks import MaskOfClass, PastedMasks
from keras_regionvit.tasks.detection.rcnn import RegionDetector, region_count
from keras_regionvit.tasks.detection.region_heads import mask_head
from keras_regionvit.tasks.fpn import WIDTH


@keras.saving.register_keras_serializable(package="keras_regionvit")
class MaskRCNN(RegionDetector):
    """A two-stage detector: images to boxes with their classes and masks.

    It trains with `fit` on `{"image": images, "boxes": (B, N, 4), "labels": (B, N), "masks":
    (B, N, M, M)}` without targets beside it: boxes xyxy in pixels, labels from 0, -1 for padding,
    masks of any M on 0..1, each on the grid of its own box. Which anchors and regions a step learns
    from is random; with a `seed`, int32 (B,), it follows from that. Give `compile` an optimizer
    alone.

    Args:
        backbone: a functional `keras.Model` with `pyramid_outputs` of levels 2 to 5, such as a
            `RegionViTBackbone`; the released detectors have `pyramid_norm=True`.
        num_classes: int K.
        include_preprocessing: bool, whether the model itself normalises images of 0..255;
            otherwise it takes them as its backbone does.
        paste_masks: bool, whether predictions have masks of the image's size.
        score_threshold: float in [0, 1), what a detection's score must exceed.
        iou_threshold: float on 0..1; of two detections of a class that share more the better stays.
        max_detections: int D, of an image.
        proposals: int, regions of an image that a prediction looks into.
        training_proposals: int, regions of an image that a step draws from.
        regions: int from 4 on, how many it draws; a quarter of them has an object at most.
        width: int, channels of the pyramid and of the heads' convolutions.
        head_width: int, of the dense layers that say class and box.
        name: optional str, name of the model.

    Input: images (B, H, W, channels), float, of any size; they are padded with zeros to a multiple
    of 32 inside the model.

    Output: `{"boxes": (B, D, 4), "scores": (B, D), "classes": int32 (B, D), "count": int32 (B,),
    "box_masks": (B, D, 28, 28)}`, boxes xyxy in pixels, the best first, probabilities of each mask
    on the grid of its box; after `count` all are 0 and classes -1. With `paste_masks` also
    `"masks": bool (B, D, H, W)`, the pixels of 0.5 or more.

    Raises:
        ValueError: an argument is out of range, or the backbone has no such pyramid.

    Example:

    >>> backbone = keras_regionvit.RegionViTBackbone.from_variant("small", pyramid_norm=True)
    >>> detector = keras_regionvit.MaskRCNN(backbone, num_classes=80, paste_masks=True)
    >>> detector(images)["masks"].shape
    TensorShape([2, 100, 480, 640])

    Source: paper, Table 5; the heads, thresholds and losses are those of detectron2's Mask R-CNN,
    but for ROIAlign's samples, see `roi_align`, and losses of masks, which are means of an image.
    """

    shape_target, shape_output = "masks", "region_masks"

    def __init__(
        self,
        backbone,
        num_classes=80,
        *,
        include_preprocessing=False,
        paste_masks=False,
        score_threshold=0.05,
        iou_threshold=0.5,
        max_detections=100,
        proposals=1000,
        training_proposals=1000,
        regions=512,
        width=WIDTH,
        head_width=1024,
        name="mask_rcnn",
    ):
        settings = {
            "num_classes": positive_integer("num_classes", num_classes),
            "include_preprocessing": flag("include_preprocessing", include_preprocessing),
            "paste_masks": flag("paste_masks", paste_masks),
            "score_threshold": rate("score_threshold", score_threshold),
            "iou_threshold": rate("iou_threshold", iou_threshold),
            "max_detections": positive_integer("max_detections", max_detections),
            "proposals": positive_integer("proposals", proposals),
            "training_proposals": positive_integer("training_proposals", training_proposals),
            "regions": region_count(regions),
            "width": positive_integer("width", width),
            "head_width": positive_integer("head_width", head_width),
        }
        super().__init__(backbone, settings, name)
        self.mask_head = self._shape_head

    @staticmethod
    def classes_of(settings):
        """As the arguments say."""
        return settings["num_classes"]

    @staticmethod
    def shape_head_of(settings, policy):
        """A mask for each class."""
        return mask_head(settings["num_classes"], settings["width"], policy)

    @staticmethod
    def shapes_found(image, detections, said, settings):
        """The mask of the class that was found, and its pixels if they are asked for."""
        masks = MaskOfClass(name="box_masks")([said, detections["classes"]])
        if not settings["paste_masks"]:
            return {"box_masks": masks}
        pasted = PastedMasks(name="masks")([image, detections["boxes"], masks])
        return {"box_masks": masks, "masks": pasted}
