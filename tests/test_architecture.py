"""Imports run one way, files stay small, the engine knows of no task: walks over syntax trees."""

import ast
import dataclasses
import graphlib
import inspect
import io
import itertools
import pathlib
import re
import sys
import tokenize

import pytest

import keras_regionvit

ROOT = pathlib.Path(keras_regionvit.__file__).parents[1]
PACKAGES = ("keras_regionvit", "training")

# A room, which is a folder or a module at the top, may import rooms of earlier steps and itself.
STEPS = {
    "keras_regionvit": [
        {"version", "checks"},
        {"variants", "imagenet", "files", "ops"},
        {"layers"},
        {"ablations"},
        {"backbone"},
        {"tasks"},
        {"weights"},
        {"models", "images", "visualize"},
        {"export"},
        {"__init__"},
    ],
    "training": [
        {"__init__", "console", "schedules", "optimizers"},
        {"recipes", "augmentation", "distribute"},
        {"data"},
        {"evaluators"},
        {"tasks"},
        {"engine"},
        {"runs"},
        {"prediction"},
        {"train", "evaluate", "export", "predict"},
    ],
}
# Rooms that could stand alone import less of their own package than their step allows.
ONLY = {
    ("keras_regionvit", "images"): {"imagenet", "checks"},
    ("keras_regionvit", "visualize"): {"files"},
}
# Of what knows a task, the engine and the runs see the protocols alone.
BEHIND_THE_SEAM = {"tasks", "evaluators"}
BEFORE_THE_SEAM = {"engine", "runs"}
PROTOCOLS = {"training.tasks", "training.tasks.task", "training.evaluators.evaluator"}

EVERYWHERE = {"keras", "numpy"}
# What else the package may import, and only in these rooms; "lazily" is inside of functions.
ELSEWHERE = {
    "tensorflow": ({"images", "export"}, "anywhere"),
    "matplotlib": ({"visualize"}, "lazily"),
    "h5py": ({"weights"}, "lazily"),
}
# Files of tasks that use TensorFlow where it runs, and say why.
TENSORFLOW_TASKS = {"keras_regionvit/tasks/segmentation.py"}
TRAINING_ONLY = {"keras_cv", "tensorflow_datasets"}
LIGHT = {"console", "schedules", "optimizers"}  # of training: as the package, but for functions
COMMANDS = ("train", "evaluate", "export", "predict")  # start without what takes seconds to import
SLOW = {"keras", "tensorflow", "keras_cv", "tensorflow_datasets", "matplotlib"}

MOST_MODULES = 8  # at the top of a package
MOST_LINES = {"file": 300, "function": 60}
# What is longer, "path" or "path:function", and why it is not cut.
LONG: dict[str, str] = {}

# What is learnt is the business of tasks: neither names nor texts of these mention it.
OF_NO_TASK = (
    "training/engine/*.py",
    "training/data/pipeline.py",
    "training/distribute/replicas.py",
    "training/runs/*.py",
)
WORDS_OF_A_TASK = re.compile(
    r"\b(labels?|labell?ed|class|classes|accurac(y|ies)|auc|top ?5|softmax)\b"
)


# --- Imports ---


@dataclasses.dataclass(frozen=True)
class Import:
    """One import: of what, whether inside of a function, in which line."""

    name: str
    lazily: bool
    line: int

    @property
    def top(self):
        """The name before the first dot, empty for a relative import."""
        return self.name.split(".")[0]


def imports(source):
    """Every `Import` of a source; "from a import b" gives "a.b", which may be a name in a."""
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
            yield Import(name, id(node) in inside, node.lineno)


def module_of(path):
    """ "a/b.py" is "a.b", "a/__init__.py" is "a"."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported_module(name, known):
    """The module that an imported name is or is in, `None` if it is none of `known`."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def room_of(name):
    """The second part of a module's name, "__init__" for the package itself."""
    return [*name.split("."), "__init__"][1]


def step_of(package, room):
    """The number of a room's step, `None` without one."""
    return next((i for i, rooms in enumerate(STEPS[package]) if room in rooms), None)


def wrong_imports(path, source, known):
    """What the imports of a file of either package do against the rules, as sentences."""
    package, room = path.split("/")[0], room_of(module_of(path))
    if step_of(package, room) is None:
        yield f"{path}: {room} has no place in STEPS"
        return
    for found in imports(source):
        where = f"{path}:{found.line}"
        if found.top == "":
            yield f"{where} imports relatively"
        elif found.top == package:
            target = imported_module(found.name, known) or found.name
            yield from wrong_arrow(where, package, room, target)
        elif found.top not in sys.stdlib_module_names:
            allowed = _may_import(package, room, path, found)
            if not allowed:
                yield f"{where}: {room} imports {found.top}{'' if found.lazily else ' at its top'}"


def wrong_arrow(where, package, room, target):
    """What an import of a module of the same package does against the order."""
    other = room_of(target)
    if other == room:
        return
    step, theirs = step_of(package, room), step_of(package, other)
    if theirs is None:
        yield f"{where}: {room} imports {other}, which has no place in STEPS"
    elif theirs >= step or other not in ONLY.get((package, room), {other}):
        yield f"{where}: {room} imports {other}, which is not before it"
    elif _passes_the_seam(package, room, other) and target not in PROTOCOLS:
        yield f"{where}: {room} imports {target}, which is not a protocol"


def _passes_the_seam(package, room, other):
    return package == "training" and room in BEFORE_THE_SEAM and other in BEHIND_THE_SEAM


def _may_import(package, room, path, found):
    """Whether a room may import a library."""
    if package == "training":
        light = room in LIGHT and not found.lazily
        return not light or found.top in EVERYWHERE
    if found.top in EVERYWHERE or (found.top == "tensorflow" and path in TENSORFLOW_TASKS):
        return True
    rooms, when = ELSEWHERE.get(found.top, ((), "anywhere"))
    return room in rooms and (when == "anywhere" or found.lazily)


def graph_of(sources, lazily=True):
    """`{module: modules of `sources` that it imports}`; `lazily`: also inside of functions."""
    known = {module_of(path) for path in sources}
    graph = {}
    for path, source in sources.items():
        found = [i for i in imports(source) if lazily or not i.lazily]
        targets = {imported_module(i.name, known) for i in found}
        graph[module_of(path)] = targets - {None, module_of(path)}
    return graph


def cycles(graph):
    """Round trips along imports, each as a text; every edge of the graph is in one at most."""
    graph = {module: set(targets) for module, targets in graph.items()}
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
            return
        except graphlib.CycleError as error:
            way = error.args[1][::-1]  # graphlib lists what is imported first
            yield " imports ".join(way)
            graph[way[0]].discard(way[1])


def libraries_at_start(module, sources):
    """What importing a module imports from outside of `sources`, `{library: by which module}`."""
    texts = {module_of(path): source for path, source in sources.items()}
    found, seen, waiting = {}, set(), [module]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        if "." in module:
            waiting.append(module.rpartition(".")[0])  # the packages around are imported, too
        for each in imports(texts[module]):
            if not each.lazily:
                inside = imported_module(each.name, texts)
                if inside is None:
                    found.setdefault(each.top, module)
                else:
                    waiting.append(inside)
    return found


# --- Sizes and words ---


def sizes(path, source):
    """`(kind, "path" or "path:function", lines)` of a file and of each function in it."""
    yield "file", path, len(source.splitlines())

    def visit(node, outer):
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            name = (*outer, child.name) if named else outer
            if named and not isinstance(child, ast.ClassDef):
                lines = child.end_lineno - child.lineno + 1
                yield "function", f"{path}:{'.'.join(name)}", lines
            yield from visit(child, name)

    yield from visit(ast.parse(source), ())


def words_of_a_task(source):
    """`(line, word)` of what names, texts and comments of a source say of a task."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.string in ("class", "__class__"):
            continue
        parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+", " ", token.string).lower()
        for found in WORDS_OF_A_TASK.finditer(parts):
            yield token.start[0], found.group()


# --- The tree as it is ---


def read(pattern):
    """`{path: source}` of the files under the root that match."""
    found = sorted(ROOT.glob(pattern))
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in found}


@pytest.fixture(scope="module")
def sources():
    found = {**read("keras_regionvit/**/*.py"), **read("training/**/*.py")}
    assert len(found) > 100
    return found


def assert_none(found):
    """Fails with all sentences at once, a list of what is to be done."""
    found = list(found)
    if found:
        pytest.fail(f"{len(found)} to mend:\n" + "\n".join(found), pytrace=False)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package, sources):
    known = {module_of(path) for path in sources}
    assert_none(
        sentence
        for path, source in sources.items()
        if path.startswith(f"{package}/")
        for sentence in wrong_imports(path, source, known)
    )


def test_no_module_imports_itself_in_the_end(sources):
    assert_none(cycles(graph_of(sources)))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_start_at_once(command, sources):
    """`--help` is there before TensorFlow, whose greeting is held back when it comes."""
    found = libraries_at_start(f"training.{command}", sources)
    assert_none(f"training.{command}: {by} imports {x}" for x, by in found.items() if x in SLOW)


def test_training_libraries_stay_in_training():
    outside = {**read("keras_regionvit/**/*.py"), **read("benchmarks/**/*.py")}
    assert any(path.startswith("benchmarks/") for path in outside)
    assert_none(
        f"{path}:{found.line} imports {found.top}"
        for path, source in outside.items()
        for found in imports(source)
        if found.top in TRAINING_ONLY
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_few_modules_at_the_top(package):
    found = sorted(read(f"{package}/*.py"))
    assert len(found) <= MOST_MODULES, found


@pytest.mark.parametrize("package", PACKAGES)
def test_files_and_functions_are_short(package, sources):
    """But for those in `LONG`."""
    assert_none(
        f"{name}: a {kind} of {lines} lines, {MOST_LINES[kind]} at most"
        for path, source in sources.items()
        if path.startswith(f"{package}/")
        for kind, name, lines in sizes(path, source)
        if lines > MOST_LINES[kind] and not LONG.get(name)
    )


def test_what_may_be_long_is(sources):
    long = {
        name
        for path, source in sources.items()
        for kind, name, lines in sizes(path, source)
        if lines > MOST_LINES[kind]
    }
    assert_none(f"{name} in LONG is short, or gone" for name in LONG if name not in long)


@pytest.mark.parametrize("pattern", OF_NO_TASK)
def test_the_engine_knows_of_no_task(pattern):
    found = read(pattern)
    assert found, pattern
    assert_none(
        f"{path}:{line} says {word!r}"
        for path, source in found.items()
        for line, word in words_of_a_task(source)
    )


# --- The walks see ---

KNOWN = {
    "keras_regionvit",
    "keras_regionvit.backbone",
    "keras_regionvit.files",
    "keras_regionvit.imagenet",
    "keras_regionvit.layers",
    "keras_regionvit.layers.mlp",
    "keras_regionvit.models",
    "keras_regionvit.ops",
    "keras_regionvit.ops.windows",
    "keras_regionvit.variants",
    "keras_regionvit.weights",
    "training",
    "training.console",
    "training.data.pipeline",
    "training.distribute.replicas",
    "training.engine.loop",
    "training.evaluators.evaluator",
    "training.prediction.folder",
    "training.runs.folder",
    "training.tasks",
    "training.tasks.classification",
    "training.tasks.task",
}
GOOD = """
import os
import numpy as np
from keras import ops
from keras_regionvit.layers import MLP
from keras_regionvit.variants import get_variant
"""
LAZY = "def f():\n    "


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("backbone.py", GOOD, None),
        ("layers/mlp.py", "from keras_regionvit.ops.windows import pad", None),
        ("layers/mlp.py", "from keras_regionvit.layers import attention", None),
        ("models.py", "from keras_regionvit.imagenet import MEAN", None),
        ("export/saved_model.py", "import tensorflow as tf", None),
        ("images/decode.py", "import tensorflow as tf", None),
        ("images/decode.py", "from keras_regionvit.imagenet import MEAN", None),
        ("visualize/figure.py", "from keras_regionvit.files import replacing", None),
        ("visualize/figure.py", f"{LAZY}import matplotlib.pyplot as plt", None),
        ("weights/keras_file.py", f"{LAZY}import h5py", None),
        ("__init__.py", "from keras_regionvit import visualize", None),
        ("novel.py", "import os", "novel has no place in STEPS"),
        ("layers/mlp.py", "from keras_regionvit.backbone import x", "layers imports backbone"),
        ("layers/mlp.py", "from keras_regionvit import backbone", "layers imports backbone"),
        ("layers/mlp.py", "import keras_regionvit", "layers imports __init__"),
        ("layers/mlp.py", "from keras_regionvit import load", "layers imports __init__"),
        ("backbone.py", f"{LAZY}from keras_regionvit.models import x", "imports models"),
        ("backbone.py", "from keras_regionvit.novel import x", "backbone imports __init__"),
        ("ops/windows.py", "from keras_regionvit.variants import x", "ops imports variants"),
        ("images/decode.py", "from keras_regionvit.files import x", "images imports files"),
        ("tasks/classification.py", "from keras_regionvit.images import x", "tasks imports"),
        ("visualize/figure.py", "from keras_regionvit.layers import x", "visualize imports layers"),
        ("layers/mlp.py", "from . import peg", "imports relatively"),
        ("layers/mlp.py", "try:\n    import tensorflow.compat\nexcept E:\n    pass", "tensorflow"),
        ("tasks/detection/nms.py", "import tensorflow", "tasks imports tensorflow"),
        ("models.py", f"{LAZY}import keras_cv", "imports keras_cv"),
        ("models.py", "import scipy.ndimage", "imports scipy"),
        ("models.py", f"{LAZY}import training.console", "imports training"),
        ("visualize/figure.py", "class A:\n    import matplotlib", "matplotlib at its top"),
        ("models.py", f"{LAZY}import matplotlib", "imports matplotlib"),
        ("weights/keras_file.py", "import h5py", "imports h5py at its top"),
    ],
)
def test_the_walk_sees_the_package(path, source, said):
    assert_says(wrong_imports(f"keras_regionvit/{path}", source, KNOWN), said)


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("train.py", "from training.engine.loop import train", None),
        ("runs/run.py", "from keras_regionvit import visualize\nimport tensorflow", None),
        ("runs/run.py", "from training.tasks import open_task", None),
        ("engine/steps.py", "from training.tasks.task import Task", None),
        ("engine/steps.py", "from training.evaluators.evaluator import Evaluator", None),
        ("data/inputs.py", "from training.distribute.replicas import x", None),
        ("prediction/folder.py", "from training.runs.folder import x", None),
        ("optimizers.py", f"{LAZY}import tensorflow", None),
        ("novel.py", "import os", "novel has no place in STEPS"),
        ("engine/loop.py", "from training.tasks.classification import x", "not a protocol"),
        ("engine/loop.py", "from training.tasks import classification", "not a protocol"),
        ("runs/run.py", f"{LAZY}import training.tasks.classification", "not a protocol"),
        ("tasks/showcase.py", "from training.runs.folder import x", "tasks imports runs"),
        ("tasks/showcase.py", "from training.prediction.folder import x", "imports prediction"),
        ("distribute/strategy.py", "from training.data.pipeline import x", "imports data"),
        ("data/pipeline.py", f"{LAZY}from training.engine import loop", "data imports engine"),
        ("optimizers.py", "import tensorflow", "imports tensorflow at its top"),
        ("console.py", "import tqdm", "imports tqdm at its top"),
        ("schedules.py", "from training.console import x", "schedules imports console"),
        ("data/pipeline.py", "from .reading import x", "imports relatively"),
    ],
)
def test_the_walk_sees_training(path, source, said):
    assert_says(wrong_imports(f"training/{path}", source, KNOWN), said)


def assert_says(found, said):
    found = list(found)
    if said is None:
        assert found == []
    else:
        assert len(found) == 1 and said in found[0], found


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ({"a/__init__.py": "from a import b", "a/b.py": "import a.c", "a/c.py": ""}, []),
        ({"a/__init__.py": "", "a/b.py": "from a import c", "a/c.py": "from a.b import x"}, ["b"]),
        ({"a/__init__.py": "", "a/b.py": f"{LAZY}import a.c", "a/c.py": "import a.b"}, ["b"]),
        ({"a/__init__.py": "from a.b import x", "a/b.py": "from a import y"}, ["a"]),
        (
            {
                "a/__init__.py": "",
                "a/b.py": "import a.c",
                "a/c.py": "import a.b, a.d",
                "a/d.py": "import a.e",
                "a/e.py": "import a.d",
            },
            ["b", "d"],
        ),
    ],
)
def test_the_walk_sees_cycles(sources, found):
    result = list(cycles(graph_of(sources)))
    assert len(result) == len(found), result
    for way in result:
        modules = way.split(" imports ")
        assert modules[0] == modules[-1]
        graph = graph_of(sources)
        assert all(b in graph[a] for a, b in itertools.pairwise(modules)), way
    for name in found:
        assert any(re.search(rf"\b{name}\b", way) for way in result)


def test_the_walk_sees_what_a_command_starts_with():
    sources = {
        "training/__init__.py": "",
        "training/train.py": f"import os\nfrom training.data import x\n{LAZY}import keras",
        "training/data/__init__.py": "from training.data.sources import x",
        "training/data/sources.py": "import tensorflow as tf",
    }
    found = libraries_at_start("training.train", sources)
    assert found == {"os": "training.train", "tensorflow": "training.data.sources"}


def test_the_walk_sees_what_is_long():
    source = '''
class A:
    @staticmethod
    def f(x):
        """Text."""
        def g():
            return x
        return g


async def h(): pass
'''
    assert list(sizes("a/b.py", source)) == [
        ("file", "a/b.py", 11),
        ("function", "a/b.py:A.f", 5),
        ("function", "a/b.py:A.f.g", 2),
        ("function", "a/b.py:h", 1),
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class Loop:\n    pass", []),
        ("name = type(x).__class__\nf = classmethod(declassified)", []),
        ("stop5 = auction + relabel", []),
        ("class_names = 1", ["class"]),
        ("x = self.numLabels", ["labels"]),
        ("x['val_top5_accuracy']", ["top5", "accuracy"]),
        ('"""The top-5 of each Class."""', ["top 5", "class"]),
        ("f'{x} labels'", ["labels"]),
        ("x = 1  # AUC, softmaxes and Softmax", ["auc", "softmax"]),
        ("def f(label, classes): pass", ["label", "classes"]),
    ],
)
def test_the_walk_sees_words_of_a_task(source, found):
    assert [word for _, word in words_of_a_task(source)] == found


# --- Public names ---


@pytest.mark.parametrize("name", keras_regionvit.__all__)
def test_public_names_are_documented(name):
    assert inspect.getdoc(getattr(keras_regionvit, name)), f"{name} has no docstring"


def test_public_names_are_listed_once():
    assert len(set(keras_regionvit.__all__)) == len(keras_regionvit.__all__)
