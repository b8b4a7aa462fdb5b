"""The state of a training in one file: data only, whole or not at all.

A file is an uncompressed `.npz`: an array for each variable, and a text of JSON with the rest.
"""

import contextlib
import json
import re
import zipfile
from typing import Any

import numpy as np

from keras_regionvit.files import replacing

META = "meta"


def save(path, variables, meta):
    """Writes a checkpoint.

    Args:
        path: the file, ending in `.npz`; replaced if it exists.
        variables: a dict of lists of Keras variables.
        meta: plain data for JSON.

    Raises:
        WriteError: it cannot be written; a file that was there is intact.

    Example:

    >>> save("last.npz", {"model": model.variables}, {"step": 7})
    """
    arrays: dict[str, Any] = {
        f"{group}/{i}": np.asarray(variable.value)
        for group, members in variables.items()
        for i, variable in enumerate(members)
    }
    names = {group: [_tail(v) for v in members] for group, members in variables.items()}
    text = json.dumps({"names": names, "meta": meta})
    arrays[META] = np.array(text)
    with replacing(path) as aside, open(aside, "wb") as file:
        np.savez(file, **arrays)


def restore(path, variables):
    """Reads a checkpoint into variables, all of it or nothing.

    Args:
        path: a file that `save` wrote.
        variables: as given to `save`; a group that is left out is not read.

    Returns:
        The `meta` of the file.

    Raises:
        ValueError: the file is missing, damaged, or of another model or optimizer; the
            variables are then as they were.

    Example:

    >>> restore("last.npz", {"model": model.variables})
    {'step': 7}
    """
    values = {}
    with _open(path) as file:
        try:
            names, meta = _text(file)
            for group, members in variables.items():
                found = names.get(group, [])
                if len(found) != len(members):
                    raise ValueError(
                        f"{path} is the checkpoint of another model: it holds {len(found)} "
                        f"variables of the {group}, {len(members)} were expected."
                    )
                for i, (variable, name) in enumerate(zip(members, found, strict=True)):
                    value = file[f"{group}/{i}"]
                    if name != _tail(variable) or value.shape != tuple(variable.shape):
                        raise ValueError(
                            f"{path} is the checkpoint of another model: it holds {name} "
                            f"{value.shape} for {_tail(variable)} {tuple(variable.shape)}, "
                            f"number {i} of the {group}."
                        )
                    values[group, i] = value
        except (KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is damaged: {error}.") from None
    for (group, i), value in values.items():
        variables[group][i].assign(value)
    return meta


def read_position(path):
    """The `meta` of a checkpoint, without its variables.

    Raises:
        ValueError: the file is missing or damaged.
    """
    return restore(path, {})


def _text(file):
    try:
        text = json.loads(str(file[META][()]))
    except ValueError:
        raise KeyError(META) from None
    return text["names"], text["meta"]


def count(path, group):
    """How many variables of a group a checkpoint holds.

    Raises:
        ValueError: the file is missing or damaged.
    """
    with _open(path) as file:
        return sum(name.startswith(f"{group}/") for name in file.files)


@contextlib.contextmanager
def _open(path):
    try:
        with open(path, "rb") as stream:
            try:
                file = np.load(stream, allow_pickle=False)
                if not isinstance(file, np.lib.npyio.NpzFile):
                    raise ValueError
            except (ValueError, OSError, EOFError, zipfile.BadZipFile):
                raise ValueError(f"{path} is damaged, or no checkpoint.") from None
            with file:
                yield file
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist.") from None


def _tail(variable):
    """The last name of a variable, without the numbers that Keras adds to tell twins apart."""
    return re.sub(r"_\d+", "", variable.path.split("/")[-1])
