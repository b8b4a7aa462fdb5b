"""Imports run one way, and the package stays light: a walk over the syntax trees."""

import ast
import inspect
import pathlib
import sys

import pytest

import keras_regionvit

ROOT = pathlib.Path(keras_regionvit.__file__).parents[1]
PACKAGE = "keras_regionvit"
MOST_LINES = 400

# A part may import those that come before its own place, and itself.
ORDER = [
    {"version", "variants", "layers", "gif", "warmup", "model_card"},
    {"ablations", "checks", "image_input"},
    {"backbone"},
    {"classifier", "serving_input"},
    {"weights"},
    {"models", "visualize", "serving"},
    {"export"},
    {"__init__"},
]
EVERYWHERE = {"keras", "numpy"}
# What else may be imported, and only there; "lazily" is inside of functions.
ELSEWHERE = {
    "tensorflow": (
        {"export.py", "gif.py", "image_input.py", "serving.py", "serving_input.py", "warmup.py"},
        "anywhere",
    ),
    "matplotlib": ({"visualize.py"}, "lazily"),
    "h5py": ({"weights/argument.py"}, "lazily"),
}
TRAINING_ONLY = {"keras_cv", "tensorflow_datasets"}


def imports(source):
    """`(module, lazily, line)` of every import; "from a import b" may import a or a.b."""
    tree = ast.parse(source)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, functions)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name, id(node) in inside, node.lineno


def place(part):
    """The place of a part in the order, `None` without one."""
    return next((i for i, parts in enumerate(ORDER) if part in parts), None)


def violations(path, source):
    """What a file of the package does against the rules; `path` is relative to the package."""
    found = []
    if len(source.splitlines()) > MOST_LINES:
        found.append(f"{path} has more than {MOST_LINES} lines")
    part = path.split("/")[0].removesuffix(".py")
    if place(part) is None:
        found.append(f"{path}: {part} has no place in the order of imports")
    for name, lazily, line in imports(source):
        where, top = f"{path}:{line}", name.split(".")[0]
        if top == "":
            found.append(f"{where} imports relatively")
        elif top == PACKAGE:
            target = name.split(".")[1] if "." in name else "__init__"
            if place(part) is None or target == part:
                continue
            if place(target) is None or place(target) >= place(part):
                found.append(f"{where}: {part} imports {target}")
        elif top in ELSEWHERE:
            files, when = ELSEWHERE[top]
            if path not in files or (when == "lazily" and not lazily):
                found.append(f"{where} imports {top}")
        elif top not in EVERYWHERE and top not in sys.stdlib_module_names:
            found.append(f"{where} imports {top}")
    return found


def files(folder):
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", [p.relative_to(ROOT / PACKAGE).as_posix() for p in files(PACKAGE)])
def test_file_of_the_package(path):
    assert violations(path, (ROOT / PACKAGE / path).read_text("utf-8")) == []


def test_training_libraries_stay_in_training():
    outside = [*files(PACKAGE), *files("benchmarks")]
    assert outside
    for file in outside:
        tops = {name.split(".")[0] for name, _, _ in imports(file.read_text("utf-8"))}
        assert not tops & TRAINING_ONLY, file


GOOD = """
import os
import numpy as np
from keras import ops
from keras_regionvit.layers import MLP
from keras_regionvit.variants import get_variant
"""


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("backbone.py", GOOD, None),
        ("layers/mlp.py", "from keras_regionvit.ops.windows import pad", None),
        ("export.py", "import tensorflow as tf", None),
        ("novel.py", "import os", "novel has no place in the order of imports"),
        ("visualize.py", "def f():\n    import matplotlib.pyplot as plt", None),
        ("layers/mlp.py", "from keras_regionvit.backbone import x", "layers imports backbone"),
        ("layers/mlp.py", "from keras_regionvit import backbone", "layers imports backbone"),
        ("layers/mlp.py", "import keras_regionvit", "layers imports __init__"),
        ("layers/mlp.py", "import keras_regionvit.variants", "layers imports variants"),
        ("backbone.py", "def f():\n    from keras_regionvit.models import x", "imports models"),
        ("classifier.py", "from keras_regionvit import load", "classifier imports load"),
        ("layers/mlp.py", "from . import peg", "imports relatively"),
        ("layers/mlp.py", "try:\n    import tensorflow.compat\nexcept E:\n    pass", "tensorflow"),
        ("models.py", "def f():\n    import keras_cv", "imports keras_cv"),
        ("models.py", "import scipy.ndimage", "imports scipy"),
        ("visualize.py", "class A:\n    import matplotlib", "imports matplotlib"),
        ("models.py", "def f():\n    import matplotlib", "imports matplotlib"),
        ("weights/argument.py", "import h5py", "imports h5py"),
        ("models.py", "x = 1\n" * (MOST_LINES + 1), "more than"),
    ],
)
def test_the_walk_sees(path, source, found):
    result = violations(path, source)
    if found is None:
        assert result == []
    else:
        assert len(result) == 1 and found in result[0], result


@pytest.mark.parametrize("name", keras_regionvit.__all__)
def test_public_names_are_documented(name):
    assert inspect.getdoc(getattr(keras_regionvit, name)), f"{name} has no docstring"


def test_public_names_are_listed_once():
    assert len(set(keras_regionvit.__all__)) == len(keras_regionvit.__all__)
