"""The recipes by name: one module each, in the package of its task.

A module has its `RECIPE` and, optionally, `SMOKE`: settings by dotted name for `--smoke`, where
those of the task's package would not do.
"""

import ast
import importlib
import pkgutil
from pathlib import Path

FOLDER = Path(__file__).parent


def names():
    """The known recipes, sorted.

    >>> "quickstart" in names()
    True
    """
    return sorted(_tasks())


def summary(name):
    """The first line of a recipe's description, read without importing it.

    >>> summary("quickstart")
    'A small RegionViT on 5,000 images of Fashion-MNIST, on a laptop in minutes.'
    """
    source = (FOLDER / _tasks()[name] / f"{name}.py").read_text("utf-8")
    return (ast.get_docstring(ast.parse(source)) or name).splitlines()[0]


def check(name):
    """Checks the name of a recipe.

    Raises:
        ValueError: there is no recipe `name`.
    """
    if name not in names():
        raise ValueError(f"--recipe must be one of: {', '.join(names())}. Received: {name!r}")


def load(name):
    """The module of the recipe `name`.

    Raises:
        ValueError: there is no recipe `name`.

    Example:

    >>> load("quickstart").RECIPE.schedule.epochs
    26
    """
    check(name)
    return importlib.import_module(f"training.recipes.{_tasks()[name]}.{name}")


def smoke(name):
    """The recipe `name` made so small that it runs through in about a minute on two cores.

    Model, images and length shrink, most recipes learn from generated images; optimizer,
    augmentation and the rest stay.

    Returns:
        A `training.recipes.schema.Recipe`.

    Raises:
        ValueError: there is no recipe `name`.

    Example:

    >>> smoke("imagenet1k").schedule.epochs
    2
    """
    module = load(name)
    recipe = module.RECIPE
    own = getattr(module, "SMOKE", None)
    if own is not None:
        return recipe.with_values(own)
    small = importlib.import_module(module.__package__).SMOKE
    base = small["data.batch_size"] * recipe.optimizer.base_batch_size / recipe.data.batch_size
    return recipe.with_values({
        **small,
        **recipe.smoke_values,
        "optimizer.base_batch_size": max(1, round(base)),  # the peak learning rate stays
        "schedule.warmup_epochs": min(recipe.schedule.warmup_epochs, 1),
    })  # fmt: skip


def _tasks():
    """The task of each recipe, a dict by the recipe's name; nothing is imported."""
    return {
        module.name: package.name
        for package in pkgutil.iter_modules([str(FOLDER)])
        if package.ispkg
        for module in pkgutil.iter_modules([str(FOLDER / package.name)])
        if not module.name.startswith("_")
    }
