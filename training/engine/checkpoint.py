"""The state of a training in one file: data only, whole or not at all.

A file is an uncompressed `.npz`: an array for each variable, and a text of JSON with the rest.
"""

import contextlib
import io
import json
import math
import os
import re
from typing import Any

import numpy as np

from keras_regionvit.files import one_line, open_regular, replacing
from keras_regionvit.weights.arrays import floats
from keras_regionvit.weights.zip_file import StoredMembers

META = "meta"
_MAX_HEADER = 4096  # bytes before the numbers of an array; NumPy writes 128
_MAX_TEXT = 64 * 2**20  # bytes of names and history; NumPy writes four for each character


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

    The size and shape of an array are compared with its variable before its numbers are read.

    Args:
        path: a file that `save` wrote.
        variables: as given to `save`; a group that is left out is not read.

    Returns:
        The `meta` of the file.

    Raises:
        ValueError: the file is missing, damaged, or of another model or optimizer, or has numbers
            that are not finite; the variables are then as they were.

    Example:

    >>> restore("last.npz", {"model": model.variables})
    {'step': 7}
    """
    values = {}
    with _open(path) as members:
        names, meta = _text(members)
        for group, expected in variables.items():
            found = names.get(group, [])
            if len(found) != len(expected):
                raise _OtherModel(
                    f"it holds {len(found)} variables of the {group}, {len(expected)} were expected"
                )
            for i, (variable, name) in enumerate(zip(expected, found, strict=True)):
                place = f"number {i} of the {group}"
                if name != _tail(variable):
                    raise _OtherModel(f"it holds {one_line(name)} for {_tail(variable)}, {place}")
                values[group, i] = _array(members, f"{group}/{i}.npy", variable, place)
    for (group, i), value in values.items():
        variables[group][i].assign(value)
    return meta


def read_position(path):
    """The `meta` of a checkpoint, without its variables.

    Raises:
        ValueError: the file is missing or damaged.
    """
    return restore(path, {})


def count(path, group):
    """How many variables of a group a checkpoint holds.

    Raises:
        ValueError: the file is missing or damaged.
    """
    with _open(path) as members:
        return sum(name.startswith(f"{group}/") for name in members.sizes)


class _OtherModel(ValueError):
    """The checkpoint is that of another model or optimizer."""


@contextlib.contextmanager
def _open(path):
    """The members of a checkpoint; whatever is wrong with it becomes a `ValueError`."""
    try:
        with open_regular(path) as file:
            yield StoredMembers(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist.") from None
    except _OtherModel as error:
        raise ValueError(f"{path} is the checkpoint of another model: {error}.") from None
    except Exception as error:  # of whatever kind a damaged file makes NumPy and json raise
        raise ValueError(f"{path} is damaged, or no checkpoint: {one_line(error)}.") from None


def _text(members):
    """`(names, meta)` of a checkpoint: `{group: [name]}`, and what `save` was given."""
    _require(members.sizes.get(f"{META}.npy", 0) <= _MAX_TEXT, "its text is too long")
    dtype, shape, data = _parts(members.read(f"{META}.npy"))
    _require(dtype.kind == "U" and shape == () and len(data) == dtype.itemsize, "it has no text")
    text = json.loads(str(np.frombuffer(data, dtype)[0]))
    names, meta = text["names"], text["meta"]
    _require(isinstance(names, dict) and isinstance(meta, dict), "its text is damaged")
    for group in names.values():
        valid = isinstance(group, list) and all(isinstance(name, str) for name in group)
        _require(valid, "its text is damaged")
    return names, meta


def _array(members, name, variable, place):
    """The numbers of a variable, of its shape and dtype, and finite."""
    wanted, dtype = tuple(variable.shape), np.dtype(variable.dtype)
    expected = math.prod(wanted) * dtype.itemsize
    stored = members.sizes.get(name, expected)
    if not expected <= stored <= expected + _MAX_HEADER:
        raise _OtherModel(f"it holds {stored} bytes for {_tail(variable)} {wanted}, {place}")
    found, shape, data = _parts(members.read(name))
    if shape != wanted or found != dtype:
        raise _OtherModel(
            f"it holds {one_line(found)} {one_line(shape)} for {_tail(variable)} {dtype.name} "
            f"{wanted}, {place}"
        )
    _require(len(data) == expected, f"{place} is cut off")
    value = np.frombuffer(data, dtype).reshape(wanted)
    return floats(value, place, dtype.name) if dtype.kind == "f" else value


def _parts(member):
    """`(dtype, shape, bytes of the numbers)` of a member, an array in C order."""
    stream = io.BytesIO(member)
    version = np.lib.format.read_magic(stream)
    _require(version == (1, 0), "an array in it is of another version")
    shape, reverse, dtype = np.lib.format.read_array_header_1_0(stream)
    data = memoryview(member)[stream.tell() :]
    if reverse and len(shape) > 1:  # NumPy writes so what is in the order of Fortran
        array = np.frombuffer(data, dtype).reshape(shape, order="F")
        return dtype, shape, np.ascontiguousarray(array).data.cast("B")
    return dtype, shape, data


def _require(condition, problem):
    if not condition:
        raise ValueError(problem)


def _tail(variable):
    """The last name of a variable, without the numbers that Keras adds to tell twins apart."""
    return re.sub(r"_\d+", "", variable.path.split("/")[-1])
