"""Recipes of semantic segmentation: one module each, and the section that they share."""

import dataclasses

from training.recipes.dense import DenseRecipe, check_canvas, smoke
from training.recipes.section import Section
from training.recipes.settings import Amount, Count, Share, Size


@dataclasses.dataclass(frozen=True)
class Segmentation(Section):
    """How pixels are told apart.

    Attributes:
        classes: number of classes; 0 means as many as the data has.
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
        width: channels of the pyramid.
        head_width: channels of the head.
        dropout_rate: of whole channels before the last convolution.
    """

    classes: Count = 0
    canvas: tuple[int, ...] = ()
    crop: Count = 0
    keep_aspect: bool = True
    least_scale: Amount = 1.0
    greatest_scale: Amount = 1.0
    scales: tuple[int, ...] = ()
    photometric: bool = False
    width: Size = 256
    head_width: Size = 128
    dropout_rate: Share = 0.1

    def check(self):
        """Checks that canvas and scales are in order."""
        check_canvas(self)
        self.require(self.dropout_rate < 1, "dropout_rate", "below 1")


@dataclasses.dataclass(frozen=True)
class SegmentationRecipe(DenseRecipe):
    """A recipe that gives each pixel a class, with the section `segmentation`.

    Example:

    >>> SegmentationRecipe("mine", Data("masks", image_size=512), augment=Augment(**NOT_DENSE))
    """

    task = "segmentation"

    segmentation: Segmentation = dataclasses.field(default_factory=Segmentation)


SMOKE = smoke("segmentation", head_width=8)
