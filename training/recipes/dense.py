"""What recipes of tasks share that see the whole of an image."""

from typing import Any

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


def check_dense(recipe):
    """Checks that a recipe sets nothing that would have no effect.

    Args:
        recipe: a `training.recipes.schema.Recipe`.

    Raises:
        ValueError: it does; the sentence names the setting.
    """
    for name, value in NOT_DENSE.items():
        recipe.augment.require(
            getattr(recipe.augment, name) == value, name, f"{value!r} for {recipe.task}"
        )
    own = getattr(recipe, recipe.task)
    wanted = f"0 with `{recipe.task}.photometric`"
    recipe.augment.require(
        not (own.photometric and recipe.augment.color_jitter), "color_jitter", wanted
    )
    whole = f"1 for {recipe.task}, which sees all of an image"
    recipe.evaluate.require(recipe.evaluate.crop_ratio == 1, "crop_ratio", whole)
    recipe.model.require(not recipe.model.border, "border", f"0 for {recipe.task}")
    recipe.data.require(
        recipe.data.image_size % 32 == 0, "image_size", f"a multiple of 32 for {recipe.task}"
    )
