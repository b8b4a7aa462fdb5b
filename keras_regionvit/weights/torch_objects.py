"""What the names, calls and references in a PyTorch checkpoint become: inert data."""

import dataclasses

import numpy as np

_MAX_DIMENSIONS = 32
_MAX_INTEGER = 2**48  # both far above real checkpoints

# Dtypes of the storages in the file; two of them stand for others, see `torch_file`.
BFLOAT16, BOOL = "torch BFloat16Storage", "torch BoolStorage"
DTYPES: dict[str, np.dtype] = {
    "torch DoubleStorage": np.dtype("<f8"),
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    BFLOAT16: np.dtype("<u2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    BOOL: np.dtype("u1"),
    "torch ComplexFloatStorage": np.dtype("<c8"),
    "torch ComplexDoubleStorage": np.dtype("<c16"),
}

COPY_AGAIN = "download or copy the file again"
SAVE_AGAIN = "save a state dict of plain tensors with torch.save"


def require(condition, problem, remedy):
    """Raises ValueError with the problem and what would be right, unless `condition`."""
    if not condition:
        raise ValueError(f"{problem}; {remedy}")


def short(text):
    """`text` quoted, its first hundred characters."""
    return repr(text if len(text) <= 100 else text[:100] + "...")


@dataclasses.dataclass(eq=False, slots=True)
class Global:
    """A "module name" that the file refers to, never looked up."""

    name: str


class Object(Global):
    """What a call of the global of this name would give; all that is put into it is dropped."""

    __slots__ = ()


@dataclasses.dataclass(eq=False, slots=True)
class Storage:
    """Where `count` numbers of a type in `DTYPES` are."""

    key: str
    type: str
    count: int

    @property
    def nbytes(self):
        """Its size in the file."""
        return self.count * DTYPES[self.type].itemsize


@dataclasses.dataclass(eq=False, slots=True)
class Tensor:
    """A strided view, in elements, of a storage that is not read yet."""

    storage: Storage
    offset: int
    size: tuple
    stride: tuple


def is_size(value):
    """Whether `value` is an int that a size may be."""
    return type(value) is int and 0 <= value < _MAX_INTEGER


def _are_sizes(values):
    return type(values) is tuple and len(values) <= _MAX_DIMENSIONS and all(map(is_size, values))


def _tensor(storage, offset, size, stride, requires_grad=None, hooks=None, flags=None):
    if type(storage) is Object:  # of quantized numbers, say: an error only among the weights
        return storage
    valid = type(storage) is Storage and is_size(offset) and _are_sizes(size)
    valid = valid and _are_sizes(stride) and len(size) == len(stride)
    require(valid, "a tensor in it has no valid storage, offset, size or stride", COPY_AGAIN)
    end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    inside = (offset if 0 in size else end) <= storage.count
    require(inside, f"a tensor of size {size} is not inside its storage", COPY_AGAIN)
    require(not flags, "a tensor in it is lazily conjugated or negated", SAVE_AGAIN)
    return Tensor(storage, offset, size, stride)


def _parameter(tensor, *_):
    return tensor


CALLS = {  # name: (our function, possible numbers of arguments)
    "collections OrderedDict": (dict, (0,)),
    "torch._utils _rebuild_tensor": (_tensor, (4,)),
    "torch._utils _rebuild_tensor_v2": (_tensor, (6, 7)),
    "torch._utils _rebuild_parameter": (_parameter, (3,)),
    "torch._utils _rebuild_parameter_with_state": (_parameter, (4,)),
}


def call(function, args, calls):
    """What a call in a pickle becomes.

    Args:
        function: what is called, of the file.
        args: its arguments, of the file.
        calls: `{name: (our function, possible numbers of arguments)}` that are carried out.

    Returns:
        The result of our function, or an `Object`.

    Raises:
        ValueError: `function` has no name.
    """
    valid = isinstance(function, Global) and type(args) is tuple
    require(valid, "its pickle calls what has no name", COPY_AGAIN)
    known = type(function) is Global and function.name in calls
    build, counts = calls[function.name] if known else (Object, ())
    return build(*args) if len(args) in counts else Object(function.name)
