"""Recipes of object detection: one module each, and the section that they share."""

import dataclasses
from typing import Literal

from training.recipes.dense import DenseRecipe, check_canvas, smoke
from training.recipes.section import Section
from training.recipes.settings import Amount, Count, Share, Size

_REGIONS = ("masks", "keypoints")
USED_BY: dict[str, tuple[str, ...]] = {  # settings that have an effect with some `shapes` alone
    "mask_size": ("masks",),
    **dict.fromkeys(("proposals", "training_proposals", "regions", "head_width"), _REGIONS),
    "keypoint_width": ("keypoints",),
    "tower_initializer": ("",),
}


@dataclasses.dataclass(frozen=True)
class Detection(Section):
    """How objects are found.

    Attributes:
        classes: number of classes; 0 means as many as the data has.
        max_objects: most objects of an image; data with more are refused.
        min_visible: share of an object that must show for it to be learnt, after cuts.
        canvas: shorter and longer side of the canvas, which lies or stands as an image does; ()
            means a square of `data.image_size`.
        crop: side of the square that training sees of an image that fits `canvas`; 0 means all of
            the canvas.
        keep_aspect: whether rows and columns of an image are scaled alike; else it fills the
            canvas.
        least_scale: least factor on an image's size in training.
        greatest_scale: greatest factor; of what exceeds the canvas a random part shows.
        scales: lengths of an image's shorter side, of which training draws one in place of a
            factor; relative to a canvas' shorter side, where the longer one limits an image.
        photometric: whether training distorts brightness, contrast, saturation and hue, see
            `training.augmentation.photometric`.
        shapes: what is found beside boxes: nothing by a `RetinaNet`, "masks" by a `MaskRCNN` or
            "keypoints" by a `KeypointRCNN`. The next six are for these two alone.
        mask_size: places a side of the masks to learn from, each on the grid of its box.
        proposals: regions of an image that a prediction looks into.
        training_proposals: regions of an image that a step draws from.
        regions: how many it draws.
        head_width: channels of the dense layers that say class and box.
        keypoint_width: channels of the convolutions that say keypoints.
        width: channels of the pyramid and of other heads.
        tower_initializer: what the towers of a `RetinaNet` begin with.
        score_threshold: what a detection's score must exceed.
        iou_threshold: of two detections of a class that share more the better stays.
        max_detections: detections of an image at most.
    """

    classes: Count = 0
    max_objects: Size = 100
    min_visible: Share = 0.3
    canvas: tuple[int, ...] = ()
    crop: Count = 0
    keep_aspect: bool = True
    least_scale: Amount = 1.0
    greatest_scale: Amount = 1.0
    scales: tuple[int, ...] = ()
    photometric: bool = False
    shapes: Literal["", "masks", "keypoints"] = ""
    mask_size: Size = 112
    proposals: Size = 1000
    training_proposals: Size = 1000
    regions: Size = 512
    head_width: Size = 1024
    keypoint_width: Size = 512
    width: Size = 256
    tower_initializer: Literal["normal", "he_normal"] = "normal"
    score_threshold: Share = 0.05
    iou_threshold: Share = 0.5
    max_detections: Size = 100

    def check(self):
        """Checks that canvas and scales are in order."""
        check_canvas(self)
        for name in ("score_threshold", "iou_threshold"):
            self.require(getattr(self, name) < 1, name, "below 1")
        self.require(self.regions >= 4, "regions", "at least 4")
        for field in dataclasses.fields(self):
            if self.shapes not in USED_BY.get(field.name, (self.shapes,)):
                kinds = " or ".join(map(repr, USED_BY[field.name]))
                wanted = f"{field.default!r} unless `{self.key('shapes')}` is {kinds}"
                self.require(getattr(self, field.name) == field.default, field.name, wanted)


@dataclasses.dataclass(frozen=True)
class DetectionRecipe(DenseRecipe):
    """A recipe that finds objects, with the section `detection`.

    Example:

    >>> DetectionRecipe("mine", Data("coco", image_size=640), augment=Augment(**NOT_DENSE))
    """

    task = "detection"

    detection: Detection = dataclasses.field(default_factory=Detection)

    @property
    def smoke_values(self):
        """Smaller heads of two-stage detectors."""
        shapes = self.detection.shapes
        small = {
            "mask_size": 28,
            "proposals": 50,
            "training_proposals": 50,
            "regions": 16,
            "head_width": 16,
            "keypoint_width": 8,
        }
        return {
            self.detection.key(name): value
            for name, value in small.items()
            if shapes in USED_BY[name]
        }


SMOKE = smoke("detection")
