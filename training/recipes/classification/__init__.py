"""Recipes of image classification: one module each, and the section that they share."""

import dataclasses

from training.recipes.schema import Recipe
from training.recipes.section import Section
from training.recipes.settings import Count, Share


@dataclasses.dataclass(frozen=True)
class Classification(Section):
    """What images are told apart by.

    Attributes:
        classes: number of classes; 0 means as many as the data has.
        multi_label: whether an image may belong to several classes, or none.
        label_smoothing: share of a label spread over all classes.
        showcase: whether the run ends with a demonstration: a linear softmax learns from the same
            images, and the exported model names held-out ones.
    """

    classes: Count = 1000
    multi_label: bool = False
    label_smoothing: Share = 0.1
    showcase: bool = False

    def check(self):
        """Checks that there is something to tell apart."""
        self.require(self.multi_label or self.classes != 1, "classes", "at least 2")


@dataclasses.dataclass(frozen=True)
class ClassificationRecipe(Recipe):
    """A recipe that tells images apart, with the section `classification`.

    Example:

    >>> ClassificationRecipe("mine", Data("folder"), classification=Classification(classes=0))
    """

    task = "classification"

    classification: Classification = dataclasses.field(default_factory=Classification)


# For --smoke: a tiny model that learns from generated images.
SMOKE = {
    "data.source": "generated",
    "data.images": 512,
    "data.image_size": 32,
    "data.batch_size": 16,
    "model.variant": "",
    "model.embed_dims": (32, 64),
    "model.depths": (1, 1),
    "model.patch_size": 4,
    "model.window_size": (2, 2),
    "model.border": 0,
    "model.weights": "",
    "model.needs_weights": False,
    "schedule.epochs": 2,
    "classification.classes": 4,
}
