"""One module a recipe, named as on the command line, with its `RECIPE`.

Optional in a module: `SMOKE`, figures for `--smoke` where generated images would not do, and
`finish(run)`, what the recipe does after the training.
"""

import ast
import dataclasses
import importlib
import pkgutil
from pathlib import Path

_FOLDER = Path(__file__).parent / "classification"

GENERATED = {
    "data": "generated",
    "images": 512,
    "classes": 4,
    "variant": "",
    "embed_dims": (32, 64),
    "depths": (1, 1),
    "patch_size": 4,
    "window_size": (2, 2),
    "image_size": 32,
    "weights": "",
    "needs_weights": False,
    "epochs": 2,
    "batch_size": 16,
}


def names():
    """The known recipes, sorted.

    >>> "quickstart" in names()
    True
    """
    return sorted(
        module.name
        for module in pkgutil.iter_modules([str(_FOLDER)])
        if not module.name.startswith("_")
    )


def summary(name):
    """The first line of a recipe's description, read without importing it.

    >>> summary("quickstart")
    'A small RegionViT on 5,000 images of Fashion-MNIST, on a laptop in minutes.'
    """
    with open(_FOLDER / f"{name}.py", encoding="utf-8") as file:
        return (ast.get_docstring(ast.parse(file.read())) or name).splitlines()[0]


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

    >>> load("quickstart").RECIPE.epochs
    26
    """
    check(name)
    return importlib.import_module(f"training.recipes.classification.{name}")


def smoke(name):
    """The recipe `name` made so small that it runs through in about a minute on two cores.

    Model, images and length shrink, most recipes learn from generated images; optimizer,
    augmentation and the rest stay.

    Returns:
        A `training.recipes.schema.Recipe`.

    Raises:
        ValueError: there is no recipe `name`.

    Example:

    >>> smoke("imagenet1k").epochs
    2
    """
    module = load(name)
    recipe = module.RECIPE
    small = {
        **GENERATED,
        "rate_batch": max(1, round(16 * recipe.rate_batch / recipe.batch_size)),
        "warmup_epochs": min(recipe.warmup_epochs, 1),
    }
    if recipe.frame:
        small |= {"frame": 0}
    return dataclasses.replace(recipe, **getattr(module, "SMOKE", small))
