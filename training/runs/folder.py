"""The folder of a run and the record of what it is: run.json."""

import itertools
import os
import platform
import subprocess
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_regionvit
from keras_regionvit.files import one_line, read_json, write_json
from training.recipes.schema import Recipe
from training.recipes.settings import shown
from training.runs.lock import LOCK

FIRST_RUNS = Path("runs")
RECORD, REPORT = "run.json", "report.json"
ROOT = Path(__file__).resolve().parents[2]


def new_folder(output, recipe):
    """Makes an empty folder for a run; no earlier run is ever touched.

    Args:
        output: the folder, new or empty; or `None` for `runs/RECIPE`, or the first of
            `runs/RECIPE-2`, `runs/RECIPE-3` ... that does not exist.
        recipe: the recipe's name.

    Returns:
        Its `Path`.

    Raises:
        ValueError: `output` holds something, or cannot be made.

    Example:

    >>> new_folder(None, "quickstart")
    PosixPath('runs/quickstart')
    """
    numbered = (FIRST_RUNS / f"{recipe}-{i}" for i in itertools.count(2))
    for folder in [output] if output else itertools.chain([FIRST_RUNS / recipe], numbered):
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=output is not None)
            if is_empty(folder):
                return folder
        except FileExistsError:
            if output:
                raise ValueError(f"--output {folder} is a file; name a new folder") from None
        except OSError as error:
            raise ValueError(f"--output {folder} cannot be made: {error.strerror}") from None
    raise ValueError(holds_files(output))


def is_empty(folder):
    """Whether a folder has nothing in it but what a killed process may leave."""
    left = (path.name for path in Path(folder).iterdir())
    return all(name.startswith(".aside-") or name == LOCK for name in left)


def holds_files(folder):
    """The sentence about a folder that is not empty, where a new run was to be kept."""
    return (
        f"--output {folder} already holds files; name a new folder, remove it, or go on with "
        f"--resume {folder}"
    )


def latest_folder(recipe):
    """The newest of `runs/RECIPE`, `runs/RECIPE-2` ..., or `None`."""
    last = None
    for i in itertools.count(1):
        folder = FIRST_RUNS / (recipe if i == 1 else f"{recipe}-{i}")
        if not folder.is_dir():
            return last
        last = folder


def write_record(folder, recipe, seed, smoke, data):
    """Writes run.json: the resolved recipe, seed, versions and revision.

    Raises:
        WriteError: it cannot be written.
    """
    record = {
        "recipe": recipe.to_dict(),
        "seed": seed,
        "smoke": smoke,
        "data": data and str(Path(data).resolve()),
        "versions": versions(),
        "revision": revision(),
    }
    write_json(Path(folder) / RECORD, record)
    return record


def read_record(folder):
    """The record of a run.

    Args:
        folder: the run's folder.

    Returns:
        `(record, recipe)`: the dict of run.json and its `Recipe`.

    Raises:
        ValueError: there is no run in `folder`, or its record is damaged.

    Example:

    >>> record, recipe = read_record("runs/quickstart")
    """
    record, path = read_values(folder), Path(folder) / RECORD
    for name in _VALUES:
        if name not in record:
            raise ValueError(f"{path} is damaged: it has no `{name}`.")
    try:
        return record, Recipe.from_dict(record["recipe"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {one_line(error)}") from None


def read_values(folder):
    """The dict of run.json, checked but for its recipe; it may lack other values.

    Raises:
        ValueError: there is no run in `folder`, or a value makes no sense.
    """
    path = Path(folder) / RECORD
    try:
        record = read_json(path)
    except OSError:
        raise ValueError(f"{folder} is not the folder of a run: no {RECORD} in it.") from None
    if not isinstance(record, dict) or not isinstance(record.get("recipe"), dict):
        raise ValueError(f"{path} is damaged: it has no `recipe`.")
    for name, (holds, wanted) in _VALUES.items():
        if name in record and not holds(record[name]):
            received = shown(record[name])
            raise ValueError(f"{path} is damaged: `{name}` must be {wanted}. Received: {received}")
    return record


def _is_text(value):
    return value is None or (
        isinstance(value, str) and 0 < len(value) <= 4096 and "\0" not in value
    )


def _are_texts(value):
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


# What a record has beside its recipe: a test, and the words for it.
_VALUES = {
    "seed": (lambda x: type(x) is int and 0 <= x < 2**31, "a whole number in [0, 2**31)"),
    "smoke": (lambda x: isinstance(x, bool), "true or false"),
    "data": (_is_text, "a path, or null"),
    "versions": (_are_texts, "texts by name"),
    "revision": (_is_text, "a text, or null"),
}


def check_same(folder, began, began_seed, recipe, seed):
    """That a run to be resumed is what was asked for.

    Args:
        folder: the run's folder, for the message.
        began: the `Recipe` that the run began with.
        began_seed: its seed.
        recipe: the `Recipe` asked for.
        seed: the seed asked for.

    Raises:
        ValueError: a value or the seed differs; the sentence names it.
    """
    before = {"name": began.name, **dict(began.items()), "seed": began_seed}
    asked = {"name": recipe.name, **dict(recipe.items()), "seed": seed}
    for key, value in asked.items():
        if before.get(key) != value:
            raise ValueError(
                f"--resume {folder}: the run was begun with {key}={before.get(key)!r}, not "
                f"{value!r}; go on with the same recipe, or begin a new run."
            )


def versions():
    """Versions of what the numbers of a run depend on, a dict of strings."""
    return {
        "keras_regionvit": keras_regionvit.__version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def revision():
    """The git revision of the code, with "+changes" if files differ from it; `None` without git."""
    try:
        git = ["git", "-C", str(ROOT)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
        )
    except OSError:
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
