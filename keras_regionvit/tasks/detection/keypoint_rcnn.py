"""Keypoint R-CNN on any backbone with a pyramid (paper, section 4.2 and appendix A.2)."""

import keras

from keras_regionvit.checks.kinds import flag, positive_integer, rate
from keras_regionvit.tasks.detection.keypoints import KeypointDecoder
from keras_regionvit.tasks.detection.rcnn import RegionDetector, region_count
from keras_regionvit.tasks.detection.region_heads import keypoint_head
from keras_regionvit.tasks.fpn import WIDTH

BOX_BETA = 0.5  # of the smooth L1 loss of the boxes


@keras.saving.register_keras_serializable(package="keras_regionvit")
class KeypointRCNN(RegionDetector):
    """A two-stage detector of one class: images to boxes with their keypoints.

    It trains with `fit` on `{"image": images, "boxes": (B, N, 4), "labels": (B, N), "keypoints":
    (B, N, J, 3)}` without targets beside it: boxes xyxy in pixels, labels 0, -1 for padding,
    keypoints x and y in pixels and then 0 for what is not labelled. Which anchors and regions a
    step learns from is random; with a `seed`, int32 (B,), it follows from that. Give `compile` an
    optimizer alone.

    Args:
        backbone: a functional `keras.Model` with `pyramid_outputs` of levels 2 to 5, such as a
            `RegionViTBackbone`; the released detectors have `pyramid_norm=True`.
        num_keypoints: int J, of an object.
        include_preprocessing: bool, whether the model itself normalises images of 0..255;
            otherwise it takes them as its backbone does.
        score_threshold: float in [0, 1), what a detection's score must exceed.
        iou_threshold: float on 0..1; of two detections that share more the better stays.
        max_detections: int D, of an image.
        proposals: int, regions of an image that a prediction looks into.
        training_proposals: int, regions of an image that a step draws from.
        regions: int from 4 on, how many it draws; a quarter of them has an object at most.
        width: int, channels of the pyramid.
        head_width: int, of the dense layers that say class and box.
        keypoint_width: int, channels of the convolutions that say the keypoints.
        name: optional str, name of the model.

    Input: images (B, H, W, channels), float, of any size; they are padded with zeros to a multiple
    of 32 inside the model.

    Output: `{"boxes": (B, D, 4), "scores": (B, D), "classes": int32 (B, D), "count": int32 (B,),
    "keypoints": (B, D, J, 3)}`, boxes xyxy in pixels, the best first, keypoints x and y in pixels
    and then a score on 0..1; after `count` all are 0 and classes -1.

    Raises:
        ValueError: an argument is out of range, or the backbone has no such pyramid.

    Example:

    >>> backbone = keras_regionvit.RegionViTBackbone.from_variant("small", pyramid_norm=True)
    >>> detector = keras_regionvit.KeypointRCNN(backbone)
    >>> detector(images)["keypoints"].shape
    TensorShape([2, 100, 17, 3])

    Source: paper, Table A4; the heads, thresholds and losses are those of detectron2's Keypoint
    R-CNN, but for ROIAlign's samples, see `roi_align`, losses of keypoints, which are means of an
    image, and summits, which are found to an eighth of a place, see `keypoints.decode`.
    """

    shape_target, shape_output = "keypoints", "region_heatmaps"
    box_beta = BOX_BETA

    def __init__(
        self,
        backbone,
        num_keypoints=17,
        *,
        include_preprocessing=False,
        score_threshold=0.05,
        iou_threshold=0.5,
        max_detections=100,
        proposals=1000,
        training_proposals=1500,
        regions=512,
        width=WIDTH,
        head_width=1024,
        keypoint_width=512,
        name="keypoint_rcnn",
    ):
        settings = {
            "num_keypoints": positive_integer("num_keypoints", num_keypoints),
            "include_preprocessing": flag("include_preprocessing", include_preprocessing),
            "score_threshold": rate("score_threshold", score_threshold),
            "iou_threshold": rate("iou_threshold", iou_threshold),
            "max_detections": positive_integer("max_detections", max_detections),
            "proposals": positive_integer("proposals", proposals),
            "training_proposals": positive_integer("training_proposals", training_proposals),
            "regions": region_count(regions),
            "width": positive_integer("width", width),
            "head_width": positive_integer("head_width", head_width),
            "keypoint_width": positive_integer("keypoint_width", keypoint_width),
        }
        super().__init__(backbone, settings, name)
        self.keypoint_head = self._shape_head

    @property
    def num_keypoints(self):
        """How many keypoints an object has."""
        return dict(self._settings)["num_keypoints"]

    @staticmethod
    def classes_of(settings):
        """One."""
        return 1

    @staticmethod
    def shape_head_of(settings, policy):
        """A heatmap for each keypoint."""
        return keypoint_head(
            settings["num_keypoints"], settings["width"], settings["keypoint_width"], policy
        )

    @staticmethod
    def shapes_found(image, detections, said, settings):
        """The keypoints in pixels."""
        decoder = KeypointDecoder(name="keypoints")
        return {"keypoints": decoder([said, detections["boxes"], detections["classes"]])}
