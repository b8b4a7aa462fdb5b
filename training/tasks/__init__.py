"""What is learnt: one module a task, behind the protocol of `training.tasks.task`."""

import importlib

# module of this package: its class
TASKS = {
    "classification": "Classification",
    "detection": "Detection",
    "segmentation": "Segmentation",
}


def open_task(recipe):
    """The task of a recipe.

    Args:
        recipe: a `training.recipes.schema.Recipe`.

    Returns:
        A `training.tasks.task.Task`.

    Example:

    >>> open_task(recipe).unit
    'images'
    """
    return getattr(importlib.import_module(f"training.tasks.{recipe.task}"), TASKS[recipe.task])(
        recipe
    )
