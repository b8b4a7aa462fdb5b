"""Reads the weights in a PyTorch checkpoint file as data: no torch, and no code from the file.

A pickle is a program that may call any function by its name. Here its opcodes run on plain lists,
dicts and tuples; names stay names (`_Global`), and calling one gives an inert `_Object`, but for
the few in `_CALLS`, whose meaning is written out in this file.
"""

import dataclasses
import io
import math
import os
import pickle
import struct
import zipfile
import zlib

import numpy as np

# Bounds far above real checkpoints: a detector with its optimizer's state takes about 50,000
# opcodes, and torch.save writes about 100 bytes of zip directory for each tensor.
_MAX_OPCODES = 1_000_000
_MAX_ZIP_DIRECTORY = 8 * 2**20
_MAX_NAME = 1_000
_MAX_DIMENSIONS = 32
_MAX_INTEGER = 2**48
_MAX_COPIES = 4  # bytes of the views that need a copy, such as transposes, over bytes of file

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # the first two pickles of the legacy format

# Dtypes of the storages in the file; `_decode` turns two of them into what they stand for.
_BFLOAT16, _BOOL = "torch BFloat16Storage", "torch BoolStorage"
_DTYPES = {
    "torch DoubleStorage": np.dtype("<f8"),
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    _BFLOAT16: np.dtype("<u2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    _BOOL: np.dtype("u1"),
    "torch ComplexFloatStorage": np.dtype("<c8"),
    "torch ComplexDoubleStorage": np.dtype("<c16"),
}

_COPY_AGAIN = "download or copy the file again"
_SAVE_AGAIN = "save a state dict of plain tensors with torch.save"


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
        ValueError: the file is damaged, was not written by `torch.save` on a little-endian
            machine, or has anything but plain tensors in its state dict.
        OSError: the file cannot be opened or read.

    Example:
        >>> weights = read_torch_file("RegionViT-Ti.pth")
        >>> weights["head.weight"].shape
        (1000, 512)
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        try:
            size = os.fstat(file.fileno()).st_size
            top, load = _open(file, size)
            return _to_arrays(_find_state_dict(top), load, budget=_MAX_COPIES * size)
        except ValueError as error:
            raise ValueError(f"The file {path!r} is no readable checkpoint: {error}.") from error


def _require(condition, problem, remedy):
    if not condition:
        raise ValueError(f"{problem}; {remedy}")


def _short(text):
    return repr(text if len(text) <= 100 else text[:100] + "...")


# --- What the names and calls in a pickle become ---


@dataclasses.dataclass(eq=False, slots=True)
class _Global:
    """A "module name" that the file refers to, never looked up."""

    name: str


class _Object(_Global):
    """What a call of the global of this name would give; all that is put into it is dropped."""

    __slots__ = ()


@dataclasses.dataclass(eq=False, slots=True)
class _Storage:
    """Where `count` numbers of a type in `_DTYPES` are."""

    key: str
    type: str
    count: int

    @property
    def nbytes(self):
        return self.count * _DTYPES[self.type].itemsize


@dataclasses.dataclass(eq=False, slots=True)
class _Tensor:
    """A strided view, in elements, of a storage that is not read yet."""

    storage: _Storage
    offset: int
    size: tuple
    stride: tuple


def _is_size(value):
    return type(value) is int and 0 <= value < _MAX_INTEGER


def _are_sizes(values):
    return type(values) is tuple and len(values) <= _MAX_DIMENSIONS and all(map(_is_size, values))


def _tensor(storage, offset, size, stride, requires_grad=None, hooks=None, flags=None):
    if type(storage) is _Object:  # of quantized numbers, say: an error only among the weights
        return storage
    valid = type(storage) is _Storage and _is_size(offset) and _are_sizes(size)
    valid = valid and _are_sizes(stride) and len(size) == len(stride)
    _require(valid, "a tensor in it has no valid storage, offset, size or stride", _COPY_AGAIN)
    end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    inside = (offset if 0 in size else end) <= storage.count
    _require(inside, f"a tensor of size {size} is not inside its storage", _COPY_AGAIN)
    _require(not flags, "a tensor in it is lazily conjugated or negated", _SAVE_AGAIN)
    return _Tensor(storage, offset, size, stride)


def _parameter(tensor, *_):
    return tensor


_CALLS = {  # name: (our function, possible numbers of arguments)
    "collections OrderedDict": (dict, (0,)),
    "torch._utils _rebuild_tensor": (_tensor, (4,)),
    "torch._utils _rebuild_tensor_v2": (_tensor, (6, 7)),
    "torch._utils _rebuild_parameter": (_parameter, (3,)),
    "torch._utils _rebuild_parameter_with_state": (_parameter, (4,)),
}


# --- The pickle ---

_WIDTHS = {  # bytes of the number, or of the length, behind an opcode
    **dict.fromkeys((pickle.PROTO, pickle.BININT1, pickle.BINGET, pickle.BINPUT), 1),
    **dict.fromkeys((pickle.LONG1, pickle.SHORT_BINUNICODE), 1),
    **dict.fromkeys((pickle.SHORT_BINSTRING, pickle.SHORT_BINBYTES), 1),
    pickle.BININT2: 2,
    **dict.fromkeys((pickle.BININT, pickle.LONG_BINGET, pickle.LONG_BINPUT, pickle.LONG4), 4),
    **dict.fromkeys((pickle.BINUNICODE, pickle.BINSTRING, pickle.BINBYTES), 4),
    **dict.fromkeys((pickle.FRAME, pickle.BINUNICODE8, pickle.BINBYTES8, pickle.BYTEARRAY8), 8),
}


_NOTHING = object()


class _Unpickler:
    """Runs the pickle at the head of `stream`, which ends at byte `end`.

    Nothing is recursive, and of the file's values only text and numbers are hashed, compared or
    printed: so depth, self-reference and memo bombs cost no more than the opcodes they take. The
    opcodes are those that pickle protocols 2 to 5 write.
    """

    def __init__(self, stream, end):
        self.stream, self.end = stream, end
        self.stack, self.marks, self.memo, self.storages = [], [], {}, {}

    def load(self):
        try:
            for _ in range(_MAX_OPCODES):
                opcode = self._take(1)
                if opcode == pickle.STOP:
                    return self.stack.pop()
                self._run(opcode)
        except (IndexError, KeyError, UnicodeDecodeError) as error:
            problem = f"its pickle is invalid near byte {self.stream.tell()}"
            raise ValueError(f"{problem}; {_COPY_AGAIN}") from error
        raise ValueError(f"its pickle has more than {_MAX_OPCODES:,} opcodes; {_SAVE_AGAIN}")

    def _take(self, count):
        # A length is compared with the file before reading, since read() would allocate it.
        fits = count <= 8 or count <= self.end - self.stream.tell()
        data = self.stream.read(count) if fits else b""
        _require(len(data) == count, "its pickle has no end", _COPY_AGAIN)
        return data

    def _line(self):
        line = self.stream.readline(_MAX_NAME)
        _require(line.endswith(b"\n"), "its pickle has a name without an end", _COPY_AGAIN)
        return line[:-1].decode()

    def _pop(self, count):
        return [self.stack.pop() for _ in range(count)][::-1]

    def _pop_mark(self):
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _run(self, opcode):
        number = width = _WIDTHS.get(opcode, 0)
        if width:
            number = int.from_bytes(self._take(width), "little", signed=opcode == pickle.BININT)
        result = self._result(opcode, number)
        if result is not _NOTHING:
            self.stack.append(result)

    def _result(self, opcode, number):
        """Runs one opcode; returns what it pushes, or `_NOTHING`."""
        match opcode:
            case pickle.BINPUT | pickle.LONG_BINPUT:
                self.memo[number] = self.stack[-1]
            case pickle.MEMOIZE:
                self.memo[len(self.memo)] = self.stack[-1]
            case pickle.BINGET | pickle.LONG_BINGET:
                return self.memo[number]
            case pickle.BININT | pickle.BININT1 | pickle.BININT2:
                return number
            case pickle.BINUNICODE | pickle.SHORT_BINUNICODE | pickle.BINUNICODE8:
                return self._take(number).decode("utf-8", "surrogatepass")
            case pickle.BINSTRING | pickle.SHORT_BINSTRING:  # Python 2's text
                return self._take(number).decode("latin-1")
            case pickle.BINBYTES | pickle.SHORT_BINBYTES | pickle.BINBYTES8 | pickle.BYTEARRAY8:
                return self._take(number)
            case pickle.LONG1 | pickle.LONG4:
                return int.from_bytes(self._take(number), "little", signed=True)
            case pickle.BINFLOAT:
                return struct.unpack(">d", self._take(8))[0]
            case pickle.NONE:
                return None
            case pickle.NEWTRUE | pickle.NEWFALSE:
                return opcode == pickle.NEWTRUE
            case pickle.EMPTY_TUPLE:
                return ()
            case pickle.TUPLE1 | pickle.TUPLE2 | pickle.TUPLE3:
                return tuple(self._pop(opcode[0] - pickle.TUPLE1[0] + 1))
            case pickle.MARK:
                self.marks.append(self.stack)
                self.stack = []
            case pickle.TUPLE:
                return tuple(self._pop_mark())
            case pickle.EMPTY_LIST:
                return []
            case pickle.EMPTY_DICT:
                return {}
            case pickle.EMPTY_SET:
                return _Object("builtins set")
            case pickle.FROZENSET:
                self._pop_mark()
                return _Object("builtins frozenset")
            case pickle.APPEND:
                self._append(self._pop(1))
            case pickle.APPENDS | pickle.ADDITEMS:
                self._append(self._pop_mark())
            case pickle.SETITEM:
                self._set_items(self._pop(2))
            case pickle.SETITEMS:
                self._set_items(self._pop_mark())
            case pickle.GLOBAL:
                return _Global(f"{self._line()} {self._line()}")
            case pickle.STACK_GLOBAL:
                names = self._pop(2)
                valid = all(type(name) is str and len(name) <= _MAX_NAME for name in names)
                _require(valid, "its pickle has a name that is no short text", _COPY_AGAIN)
                return _Global(" ".join(names))
            case pickle.REDUCE:
                return _call(*self._pop(2), _CALLS)
            case pickle.NEWOBJ:
                return _call(*self._pop(2), {})
            case pickle.NEWOBJ_EX:
                return _call(*self._pop(3)[:2], {})
            case pickle.BUILD:  # the attributes of a Namespace, or a state dict's `_metadata`
                self._pop(1)
            case pickle.BINPERSID:
                return self._storage(*self._pop(1))
            case pickle.POP if self.stack:
                self._pop(1)
            case pickle.POP | pickle.POP_MARK:
                self._pop_mark()
            case pickle.PROTO:
                valid = 2 <= number <= 5
                _require(valid, f"its pickle has protocol {number}, not 2 to 5", _SAVE_AGAIN)
            case pickle.FRAME:  # a hint for readers of slow streams
                pass
            case _:
                _require(False, f"its pickle has an unknown opcode {opcode!r}", _SAVE_AGAIN)
        return _NOTHING

    def _append(self, items):
        target = self.stack[-1]
        _require(type(target) in (list, _Object), "its pickle appends to no list", _COPY_AGAIN)
        if type(target) is list:
            target.extend(items)

    def _set_items(self, items):
        target = self.stack[-1]
        valid = type(target) in (dict, _Object) and len(items) % 2 == 0
        _require(valid, "its pickle sets items of no dict", _COPY_AGAIN)
        if type(target) is dict:
            for key, value in zip(items[::2], items[1::2], strict=True):
                # To hash any other key of the file may take for ever: these hash by identity.
                target[key if type(key) is str else _Object("key")] = value

    def _storage(self, reference):
        """The storage at ("storage", type, key, device, count), with None behind if legacy."""
        match reference:
            case ("storage", _Global(name=name), str(key), _, count, *view) if _is_size(count):
                pass
            case _:
                raise ValueError(f"it refers to what is no tensor's storage; {_SAVE_AGAIN}")
        if name not in _DTYPES:
            return _Object(name)
        storage = self.storages.setdefault(key, _Storage(key, name, count))
        same = (storage.type, storage.count) == (name, count) and view in ([], [None])
        _require(same, f"its storage {_short(key)} has two types or sizes", _SAVE_AGAIN)
        return storage


def _call(function, args, calls):
    valid = isinstance(function, _Global) and type(args) is tuple
    _require(valid, "its pickle calls what has no name", _COPY_AGAIN)
    known = type(function) is _Global and function.name in calls
    call, counts = calls[function.name] if known else (None, ())
    return call(*args) if len(args) in counts else _Object(function.name)


# --- The file ---


def _open(file, size):
    """Returns the unpickled top-level object, and a function from a `_Storage` to its bytes."""
    head = file.read(262)
    _require(head[257:] != b"ustar", "it is a tar archive, as before PyTorch 0.1.10", _SAVE_AGAIN)
    if head.startswith(b"PK\x03\x04"):
        return _open_zip(file, size)
    start = f"it begins with {head[:8]!r}, like neither a zip archive nor a pickle"
    _require(head.startswith(b"\x80"), start, _SAVE_AGAIN)
    file.seek(0)
    return _open_legacy(file, size)


_ZIP_ERRORS = (zipfile.BadZipFile, struct.error, OSError, OverflowError, RuntimeError, ValueError)


class _DirectoryReader:
    """A file for `zipfile`, which reads a zip's directory at once and makes objects of it."""

    def __init__(self, file):
        self.file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, count=-1):  # to the end only near the end
        if count > _MAX_ZIP_DIRECTORY:
            raise zipfile.BadZipFile(f"it takes {count} bytes")
        return self.file.read(count)


def _zip_members(file, size):
    """Returns a function from the name of a stored member of a zip archive to its bytes."""
    try:
        infos = zipfile.ZipFile(_DirectoryReader(file)).infolist()
    except _ZIP_ERRORS as error:
        raise ValueError(f"its zip directory is invalid ({error}); {_COPY_AGAIN}") from error
    infos.sort(key=lambda info: info.header_offset)
    members = {info.filename: info for info in infos}
    _require(len(members) == len(infos), "its zip archive has a name twice", _COPY_AGAIN)
    ends = dict(zip(members, [info.header_offset for info in infos[1:]] + [size], strict=True))

    def read(name):
        _require(name in members, f"its zip archive has no member {_short(name)}", _COPY_AGAIN)
        info, member = members[name], f"its zip member {_short(name)}"
        stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
        _require(stored, f"{member} is compressed or encrypted", _SAVE_AGAIN)
        encoding = "utf-8" if info.flag_bits & 0x800 else "cp437"
        start = b"PK\x03\x04", info.orig_filename.encode(encoding)
        valid = 0 <= info.header_offset <= size
        file.seek(info.header_offset if valid else size)
        header = file.read(30)
        lengths = struct.unpack("<HH", header[26:]) if len(header) == 30 else (0, 0)
        valid = valid and (header[:4], file.read(lengths[0])) == start
        place = info.header_offset + 30 + sum(lengths)
        valid = valid and place + info.file_size <= ends[name]
        _require(valid, f"{member} overlaps another or the end", _COPY_AGAIN)
        file.seek(place)
        data = file.read(info.file_size)
        _require(zlib.crc32(data) == info.CRC, f"{member} has a wrong checksum", _COPY_AGAIN)
        return data

    return members.keys(), read


def _open_zip(file, size):
    names, read = _zip_members(file, size)
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    _require(len(roots) == 1, "its zip archive has not one data.pkl", _SAVE_AGAIN)
    (root,) = roots
    _require(root + "constants.pkl" not in names, "it is a TorchScript program", _SAVE_AGAIN)
    order = read(root + "byteorder") if root + "byteorder" in names else b"little"
    _require(order == b"little", f"its byte order is {order[:8]!r}, not 'little'", _SAVE_AGAIN)
    program = read(root + "data.pkl")

    return (
        _Unpickler(io.BytesIO(program), len(program)).load(),
        lambda storage: read(f"{root}data/{storage.key}"),
    )


def _open_legacy(file, size):
    """Reads the magic number, protocol, machine, object and keys, then finds the storages."""
    magic = _Unpickler(file, size).load()
    _require(_equals(magic, _MAGIC), "it is a pickle, but none of torch.save", _SAVE_AGAIN)
    protocol, machine = _Unpickler(file, size).load(), _Unpickler(file, size).load()
    valid = _equals(protocol, _PROTOCOL) and type(machine) is dict and "little_endian" in machine
    _require(valid, "its legacy header is invalid", _COPY_AGAIN)
    _require(machine["little_endian"] is True, "its byte order is not 'little'", _SAVE_AGAIN)
    unpickler = _Unpickler(file, size)
    top, keys = unpickler.load(), _Unpickler(file, size).load()
    storages, places = unpickler.storages, {}
    valid = type(keys) is list and all(type(key) is str for key in keys)
    valid = valid and sorted(keys) == sorted(storages)
    _require(valid, "its storages are not those that its tensors name", _COPY_AGAIN)
    for key in keys:
        count, places[key] = file.read(8), file.tell()
        valid = count == struct.pack("<q", storages[key].count)
        _require(valid, f"its storage {_short(key)} has not its declared size", _COPY_AGAIN)
        file.seek(storages[key].nbytes, os.SEEK_CUR)
    valid = file.tell() == size
    _require(valid, f"it has {size} bytes where {file.tell()} are declared", _COPY_AGAIN)

    def load(storage):
        file.seek(places[storage.key])
        return file.read(storage.nbytes)

    return top, load


def _equals(value, number):
    return type(value) is int and value == number


# --- The arrays ---


def _find_state_dict(top):
    _require(type(top) is dict, f"it holds a {_kind(top)}, not a dict of tensors", _SAVE_AGAIN)
    inner = [top[name] for name in ("model", "state_dict") if type(top.get(name)) is dict]
    state = inner[0] if inner else top
    found = bool(state) if inner else any(type(value) is _Tensor for value in state.values())
    _require(found, "it has no tensors, not as its 'model' or 'state_dict' either", _SAVE_AGAIN)
    return state


def _kind(value):
    return _short(value.name if isinstance(value, _Global) else type(value).__name__)


def _to_arrays(state, load, budget):
    """Reads each storage of the state dict once; `budget` is the bytes that copies may take."""
    flats, arrays = {}, {}
    for key, value in state.items():
        _require(type(key) is str, "its state dict has a key that is no text", _SAVE_AGAIN)
        kind = f"its entry {_short(key)} is of type {_kind(value)}, not a plain tensor"
        _require(type(value) is _Tensor, kind, _SAVE_AGAIN)
        storage = value.storage
        if storage.key not in flats:
            flats[storage.key] = _decode(load(storage), storage)
        flat = flats[storage.key]
        size = 0 if _is_contiguous(value) else math.prod(value.size) * flat.itemsize
        large = f"its entry {_short(key)} repeats numbers up to {size} bytes, too many for its file"
        _require(size <= budget, large, _SAVE_AGAIN)
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
    name = f"its storage {_short(storage.key)}"
    _require(valid, f"{name} has {size} bytes, not {storage.nbytes}", _COPY_AGAIN)
    flat = np.frombuffer(data, _DTYPES[storage.type])
    if storage.type == _BFLOAT16:
        flat = (flat.astype("<u4") << 16).view("<f4")
    elif storage.type == _BOOL:
        flat = flat != 0
    flat.flags.writeable = False
    return flat
