"""One module a recipe, named as on the command line, with a function `run`.

`run(folder, seed, smoke)` does the whole job and leaves its files in `folder`.
"""

import importlib
import pkgutil


def names():
    """The known recipes, sorted.

    >>> "quickstart" in names()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def summary(name):
    """The first line of a recipe's description, read without importing it.

    >>> summary("quickstart")
    'A small RegionViT on 5,000 images of Fashion-MNIST, on a laptop in minutes.'
    """
    import ast

    with open(f"{__path__[0]}/{name}.py", encoding="utf-8") as file:
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

    >>> load("quickstart").run("runs/mine", seed=0, smoke=False)
    """
    check(name)
    return importlib.import_module(f"{__name__}.{name}")
