"""Reads the weights in a PyTorch checkpoint file as data: no torch, and no code from the file."""

import io
import math
import os
import struct

import numpy as np

from keras_regionvit.files import open_regular
from keras_regionvit.weights.pickle_data import Unpickler
from keras_regionvit.weights.torch_objects import (
    BFLOAT16,
    BOOL,
    COPY_AGAIN,
    DTYPES,
    SAVE_AGAIN,
    Global,
    Tensor,
    require,
    short,
)
from keras_regionvit.weights.zip_file import StoredMembers

_MAX_COPIES = 4  # bytes of the views that need a copy, such as transposes, over bytes of file

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # the first two pickles of the legacy format


def read_torch_file(path):
    """Reads the state dict in a file written by `torch.save`.

    Both formats of `torch.save` are read: the zip archive, and the legacy one from before
    PyTorch 1.6. The state dict is the dict under `"model"`, else the one under `"state_dict"`,
    else the top-level dict. Whatever else the file holds (an `argparse.Namespace`, an optimizer's
    state) is skipped, and nothing that the file names is ever imported or called.

    The checksums of a zip archive are verified. A legacy file has none, so that a changed byte
    among its numbers goes unnoticed.

    Args:
        path: path of the file, a string or `os.PathLike`.

    Returns:
        A dict from each key, in the file's order, to a C-contiguous, read-only NumPy array of the
        tensor's shape. Float16, float32, float64, complex, integer (signed, and uint8) and boolean
        tensors keep their dtype; bfloat16 becomes float32, exactly. Tied tensors may share memory.

    Raises:
        ValueError: the file is damaged or no regular one, was not written by `torch.save` on a
            little-endian machine, or has anything but plain tensors in its state dict.
        OSError: the file cannot be opened or read.

    Example:
        >>> weights = read_torch_file("RegionViT-Ti.pth")
        >>> weights["head.weight"].shape
        (1000, 512)
    """
    path = os.fspath(path)
    with open_regular(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            top, load = _open(file, size)
            return _to_arrays(_find_state_dict(top), load, budget=_MAX_COPIES * size)
        except ValueError as error:
            raise ValueError(f"The file {path!r} is no readable checkpoint: {error}.") from error


# --- The file ---


def _open(file, size):
    """Returns the unpickled top-level object, and a function from a `Storage` to its bytes."""
    head = file.read(262)
    require(head[257:] != b"ustar", "it is a tar archive, as before PyTorch 0.1.10", SAVE_AGAIN)
    if head.startswith(b"PK\x03\x04"):
        return _open_zip(file, size)
    start = f"it begins with {head[:8]!r}, like neither a zip archive nor a pickle"
    require(head.startswith(b"\x80"), start, SAVE_AGAIN)
    file.seek(0)
    return _open_legacy(file, size)


def _open_zip(file, size):
    members = StoredMembers(file, size)
    names, read = members.sizes, members.read
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    require(len(roots) == 1, "its zip archive has not one data.pkl", SAVE_AGAIN)
    (root,) = roots
    require(root + "constants.pkl" not in names, "it is a TorchScript program", SAVE_AGAIN)
    order = read(root + "byteorder") if root + "byteorder" in names else b"little"
    require(order == b"little", f"its byte order is {order[:8]!r}, not 'little'", SAVE_AGAIN)
    program = read(root + "data.pkl")

    return (
        Unpickler(io.BytesIO(program), len(program)).load(),
        lambda storage: read(f"{root}data/{storage.key}"),
    )


def _open_legacy(file, size):
    """Reads the magic number, protocol, machine, object and keys, then finds the storages."""
    magic = Unpickler(file, size).load()
    require(_equals(magic, _MAGIC), "it is a pickle, but none of torch.save", SAVE_AGAIN)
    protocol, machine = Unpickler(file, size).load(), Unpickler(file, size).load()
    valid = _equals(protocol, _PROTOCOL) and type(machine) is dict and "little_endian" in machine
    require(valid, "its legacy header is invalid", COPY_AGAIN)
    require(machine["little_endian"] is True, "its byte order is not 'little'", SAVE_AGAIN)
    unpickler = Unpickler(file, size)
    top, keys = unpickler.load(), Unpickler(file, size).load()
    storages, places = unpickler.storages, {}
    valid = type(keys) is list and all(type(key) is str for key in keys)
    valid = valid and sorted(keys) == sorted(storages)
    require(valid, "its storages are not those that its tensors name", COPY_AGAIN)
    for key in keys:
        count, places[key] = file.read(8), file.tell()
        valid = count == struct.pack("<q", storages[key].count)
        require(valid, f"its storage {short(key)} has not its declared size", COPY_AGAIN)
        file.seek(storages[key].nbytes, os.SEEK_CUR)
    valid = file.tell() == size
    require(valid, f"it has {size} bytes where {file.tell()} are declared", COPY_AGAIN)

    def load(storage):
        file.seek(places[storage.key])
        return file.read(storage.nbytes)

    return top, load


def _equals(value, number):
    return type(value) is int and value == number


# --- The arrays ---


def _find_state_dict(top):
    require(type(top) is dict, f"it holds a {_kind(top)}, not a dict of tensors", SAVE_AGAIN)
    inner = [top[name] for name in ("model", "state_dict") if type(top.get(name)) is dict]
    state = inner[0] if inner else top
    found = bool(state) if inner else any(type(value) is Tensor for value in state.values())
    require(found, "it has no tensors, not as its 'model' or 'state_dict' either", SAVE_AGAIN)
    return state


def _kind(value):
    return short(value.name if isinstance(value, Global) else type(value).__name__)


def _to_arrays(state, load, budget):
    """Reads each storage of the state dict once; `budget` is the bytes that copies may take."""
    flats, arrays = {}, {}
    for key, value in state.items():
        require(type(key) is str, "its state dict has a key that is no text", SAVE_AGAIN)
        kind = f"its entry {short(key)} is of type {_kind(value)}, not a plain tensor"
        require(type(value) is Tensor, kind, SAVE_AGAIN)
        storage = value.storage
        if storage.key not in flats:
            flats[storage.key] = _decode(load(storage), storage)
        flat = flats[storage.key]
        size = 0 if _is_contiguous(value) else math.prod(value.size) * flat.itemsize
        large = f"its entry {short(key)} repeats numbers up to {size} bytes, too many for its file"
        require(size <= budget, large, SAVE_AGAIN)
        steps = [step * flat.itemsize for step in value.stride]
        array = np.ndarray(value.size, flat.dtype, flat, value.offset * flat.itemsize, steps)
        if size:
            array = array.copy()
            array.flags.writeable = False
            budget -= size
        arrays[key] = array
    return arrays


def _is_contiguous(tensor):
    expected = 1
    for count, step in zip(tensor.size[::-1], tensor.stride[::-1], strict=True):
        if count > 1 and step != expected:
            return False
        expected *= count
    return True


def _decode(data, storage):
    """Returns a storage's bytes as a read-only array with one axis."""
    size = len(data)
    valid = size == storage.nbytes
    name = f"its storage {short(storage.key)}"
    require(valid, f"{name} has {size} bytes, not {storage.nbytes}", COPY_AGAIN)
    flat = np.frombuffer(data, DTYPES[storage.type])
    if storage.type == BFLOAT16:
        flat = (flat.astype("<u4") << 16).view("<f4")
    elif storage.type == BOOL:
        flat = flat != 0
    flat.flags.writeable = False
    return flat
