"""What recipes of tasks share that see the whole of an image."""

import dataclasses
from typing import Any

from keras_regionvit.variants import get_variant
from training.recipes.schema import Recipe
from training.recipes.sections import Augment, Data, Evaluate, Model, Optimizer, Schedule

NOT_DENSE: dict[str, Any] = {  # settings of the section `augment` that such tasks have no use for
    "repeats": 1,
    "crop": "none",
    "auto_augment": "",
    "mixup": 0.0,
    "cutmix": 0.0,
    "erasing": 0.0,
}


def check_canvas(section):
    """Checks the settings on canvas and scales of a section.

    Args:
        section: of a task that sees the whole of an image.

    Raises:
        ValueError: they make no sense; the sentence names the setting.
    """
    canvas, scales, name = section.canvas, section.scales, section.key("")
    wanted = "two multiples of 32, the shorter side first, or empty"
    fits = all(side > 0 and side % 32 == 0 for side in canvas)
    section.require(not canvas or (len(canvas) == 2 and fits), "canvas", wanted)
    section.require(tuple(sorted(canvas)) == canvas, "canvas", wanted)
    section.require(section.crop % 32 == 0, "crop", "a multiple of 32")
    section.require(canvas or not section.crop, "crop", f"0 without `{name}canvas`")
    section.require(min(scales, default=1) > 0, "scales", "above 0, each number")
    section.require(section.least_scale > 0, "least_scale", "above 0")
    wanted = f"at least `{name}least_scale`, {section.least_scale}"
    section.require(section.greatest_scale >= section.least_scale, "greatest_scale", wanted)
    for bound in ("least_scale", "greatest_scale"):
        alone = f"1 where `{name}scales` is set"
        section.require(not scales or getattr(section, bound) == 1, bound, alone)


@dataclasses.dataclass(frozen=True)
class DenseRecipe(Recipe):
    """A recipe of a task that sees the whole of an image; it sets nothing that has no effect.

    A subclass has a section under the name of its `task`.
    """

    def __post_init__(self):
        super().__post_init__()
        for name, value in NOT_DENSE.items():
            wanted = f"{value!r} for {self.task}"
            self.augment.require(getattr(self.augment, name) == value, name, wanted)
        own = getattr(self, self.task)
        wanted = f"0 with `{own.key('photometric')}`"
        recoloured = own.photometric and self.augment.color_jitter
        self.augment.require(not recoloured, "color_jitter", wanted)
        whole = f"1 for {self.task}, which sees all of an image"
        self.evaluate.require(self.evaluate.crop_ratio == 1, "crop_ratio", whole)
        self.model.require(not self.model.border, "border", f"0 for {self.task}")
        size = self.data.image_size
        self.data.require(size % 32 == 0, "image_size", f"a multiple of 32 for {self.task}")

    def with_overrides(self, texts):
        """As that of any recipe; a size that a canvas would leave without effect is refused."""
        changed = super().with_overrides(texts)
        own = getattr(changed, self.task)
        wanted = f"left out where `{own.key('canvas')}` is set, which gives the size in its place"
        useless = own.canvas and "data.image_size" in texts
        changed.data.require(not useless, "image_size", wanted)
        return changed

    @property
    def windows(self):
        """Local tokens per region side, one entry a stage: those of the variant at any size."""
        model = self.model
        return model.window_size or (model.variant and get_variant(model.variant).window_size)


def smoke(task, **own):
    """What --smoke changes: a tiny model that learns from the composed set.

    Args:
        task: name of the task.
        **own: more settings of its section.

    Returns:
        Values by dotted name.
    """
    return {
        "data.source": "composed",
        "data.image_size": 64,
        "data.images": 32,
        "data.batch_size": 8,
        "model.variant": "",
        "model.embed_dims": (8, 16, 32, 64),
        "model.depths": (1, 1, 1, 1),
        "model.window_size": (2, 2, 2, 2),
        "model.weights": "",
        "model.needs_weights": False,
        "schedule.epochs": 2,
        "schedule.steps": 0,
        "schedule.warmup_steps": 0,
        f"{task}.canvas": (),
        f"{task}.crop": 0,
        f"{task}.scales": (),
        f"{task}.classes": 0,
        f"{task}.width": 16,
        **{f"{task}.{name}": value for name, value in own.items()},
    }


def from_imagenet(variant="small", peg=False):
    """The backbone that detectors and segmenters of photos start from (sections A.2 and A.3).

    Args:
        variant: name of its row.
        peg: whether it has position encoding generators.

    Returns:
        A section `model`.
    """
    return Model(
        variant=variant,
        peg=peg,
        pyramid_norm=True,
        drop_path_rate=0.2,
        weights="imagenet",
        needs_weights=True,
    )


def composed():
    """The sections that the quick starts on composed images share, a dict by name."""
    return {
        "data": Data("composed", eval_split="test", image_size=256, batch_size=8),
        "model": Model(
            variant="",
            embed_dims=(32, 64, 128, 256),
            depths=(1, 1, 2, 1),
            window_size=(4, 4, 4, 4),
            pyramid_norm=True,
            drop_path_rate=0.0,
        ),
        "augment": Augment(**NOT_DENSE, color_jitter=0.0, flip=0.5),
        "optimizer": Optimizer(learning_rate=2e-3, base_batch_size=8, clip_norm=10.0),
        "evaluate": Evaluate(crop_ratio=1.0),
    }


def photos():
    """The sections that the recipes for a user's own photos share, a dict by name."""
    return {
        "data": Data("folder", batch_size=8),
        "model": from_imagenet(),
        "augment": Augment(**NOT_DENSE, color_jitter=0.2, flip=0.5),
        "optimizer": Optimizer(learning_rate=1e-4, base_batch_size=8, clip_norm=10.0),
        "schedule": Schedule(epochs=30, every="step", warmup_epochs=1, min_learning_rate=1e-6),
        "evaluate": Evaluate(crop_ratio=1.0),
    }
