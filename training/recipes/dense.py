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
    whole = f"1 for {recipe.task}, which sees all of an image"
    recipe.evaluate.require(recipe.evaluate.crop_ratio == 1, "crop_ratio", whole)
    recipe.model.require(not recipe.model.border, "border", f"0 for {recipe.task}")
    recipe.data.require(
        recipe.data.image_size % 32 == 0, "image_size", f"a multiple of 32 for {recipe.task}"
    )
