"""The weights in a `.weights.h5` or `.keras` file of this package into a model, strictly.

Keras names the tensors in a file after the classes of the layers that hold them, such as
"layers/dense/vars/1". Beside them it keeps the names of the layers, by which the head is found.
"""

import math
import os
import re
import shutil
import tempfile
import zipfile

from keras_regionvit.backbone import REGIONAL_TOKENIZER
from keras_regionvit.files import one_line, open_regular
from keras_regionvit.tasks.classification import HEAD
from keras_regionvit.weights import resize
from keras_regionvit.weights.arrays import floats
from keras_regionvit.weights.hdf5_file import check_hdf5, datasets
from keras_regionvit.weights.hdf5_tables import check_tables
from keras_regionvit.weights.torch_objects import short
from keras_regionvit.weights.zip_file import zip_infos

_LAYERS = "layers/"  # the tensors of an optimizer are elsewhere
_WEIGHTS = "model.weights.h5"  # of a `.keras` file

# Keras does not compress, and weights hardly get smaller; only the zeros of an optimizer do.
_MAX_EXPANSION, _SMALL = 20, 2**20


def is_keras_file(path):
    """Whether the name of a file is that of one written by Keras."""
    return os.fspath(path).endswith((".weights.h5", ".keras"))


def load_keras_file(model, path, *, any_classes=False):
    """Loads the weights in a file that Keras wrote of such a model, all of them or nothing.

    Bias tables and regional kernels are resized to the windows of the model. The configuration
    in a `.keras` file is never read.

    Args:
        model: a `RegionViTBackbone`, or a model of this package that holds one.
        path: a `.weights.h5` or `.keras` file. A layer that the model lacks, such as the head
            or a normalisation of the image, is left out; a bare backbone takes that of a file
            with a larger model around it, such as a detector.
        any_classes: whether the head may have another number of classes, and the norms of the
            pyramid be missing; they then stay as they are.

    Returns:
        Paths of the variables that stay as they are.

    Raises:
        ValueError: the file is damaged or of another model; the model is then as it was.

    Example:

    >>> load_keras_file(model, "runs/imagenet1k/model.keras", any_classes=True)
    ['predictions/kernel', 'predictions/bias']
    """
    import h5py

    path = os.fspath(path)
    with tempfile.TemporaryDirectory() as folder:
        merged = f"{folder}/merged.weights.h5"
        try:
            source = _weights_in(path, folder)
            check_tables(source)
            with h5py.File(source) as theirs:
                model.save_weights(merged)
                with h5py.File(merged, "r+") as mine:
                    wanted = _of_layers(mine)
                    found = _of_backbone(_of_layers(theirs), wanted)
                    kept = _left_as_they_are(found, wanted) if any_classes else []
                    names = {wanted[name].parent.attrs.get("name") for name in kept}
                    _merge(mine, found, wanted, kept)
            model.load_weights(merged)
        except Exception as error:  # of whatever kind a damaged file makes zipfile and h5py raise
            raise ValueError(
                f"{path} does not hold the weights of the model {model.name!r}: {one_line(error)}"
            ) from error
    layers = [layer for layer in model._flatten_layers() if layer.name in names]
    left = {id(variable) for layer in layers for variable in layer.weights}
    return [variable.path for variable in model.weights if id(variable) in left]


def check_keras_file(path):
    """That a `.keras` file may be given to Keras: all in it is of a size that fits the file.

    Its weights are plain arrays of their own, so that Keras reads no other file.

    Args:
        path: the file, a string or `os.PathLike`.

    Raises:
        ValueError: it is damaged, encrypted, unpacks to far more than its size, or holds links.

    Example:

    >>> check_keras_file("runs/quickstart/model.keras")
    """
    path = os.fspath(path)
    try:
        with tempfile.TemporaryDirectory() as folder:
            check_hdf5(_weights_in(path, folder))
    except Exception as error:  # of whatever kind a damaged file makes zipfile and h5py raise
        raise ValueError(
            f"{one_line(path)} is no readable .keras file: {one_line(error)}"
        ) from error


def _weights_in(path, folder):
    """The path of an HDF5 file with the weights in `path`, unpacked into `folder` if need be."""
    if not path.endswith(".keras"):
        return path
    unpacked = f"{folder}/theirs.weights.h5"
    with open_regular(path) as packed:
        members = zip_infos(packed)
        _check_members(members, os.fstat(packed.fileno()).st_size)
        if _WEIGHTS not in members:
            raise ValueError(f"it has no {_WEIGHTS}")
        with zipfile.ZipFile(packed) as archive, open(unpacked, "wb") as file:
            shutil.copyfileobj(archive.open(_WEIGHTS), file)
    return unpacked


def _check_members(members, size):
    """That the members of a zip archive of `size` bytes can be unpacked, to a size that fits."""
    for name, info in members.items():
        if info.flag_bits & 1:
            raise ValueError(f"its zip member {short(name)} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"its zip member {short(name)} is neither stored nor deflated")
    total = sum(info.file_size for info in members.values())
    if total > max(_MAX_EXPANSION * size, _SMALL):
        raise ValueError(f"its {size:,} bytes would unpack to {total:,}")


def _of_layers(file):
    """`{name: dataset}` of the layers."""
    return {name: item for name, item in datasets(file).items() if name.startswith(_LAYERS)}


def _of_backbone(found, wanted):
    """What is `found` of the backbone alone, if a backbone is wanted and lies in a larger model."""
    marker = f"{_LAYERS}{REGIONAL_TOKENIZER}/"
    marked = next((name for name in wanted if name.startswith(marker)), None)
    if marked is None:  # it is no backbone
        return found
    around = [name.removesuffix(marked) for name in found if name.endswith(f"/{marked}")]
    if marked in found or len(around) != 1:
        return found
    (prefix,) = around
    return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}


def _left_as_they_are(found, wanted):
    """Names of a head of other classes, and of the norms of a pyramid that nobody trained."""
    norms = [
        name
        for name, item in wanted.items()
        if name not in found and re.fullmatch("P[2-5]", str(item.parent.attrs.get("name")))
    ]
    return [*_head_of_other_classes(found, wanted), *norms]


def _head_of_other_classes(found, wanted):
    """Names of the head's tensors if they differ in the number of classes alone, else none."""
    head = [name for name, item in wanted.items() if item.parent.attrs.get("name") == HEAD]
    pairs = [(found[name].shape, wanted[name].shape) for name in head if name in found]
    same = len(pairs) == len(head) and all(a[:-1] == b[:-1] for a, b in pairs)
    return head if same and any(a != b for a, b in pairs) else []


def _merge(mine, found, wanted, kept):
    """Puts what is `found` in the place of what is `wanted` in the file `mine`, but for `kept`.

    Raises:
        ValueError: something is missing, unexpected or of another shape or dtype.
    """
    layers = {name.split("/")[1] for name in wanted}
    unexpected = [n for n in found if n not in wanted and n.split("/")[1] in layers]
    problems = [f"{one_line(name)} is unexpected" for name in unexpected]
    for name, dataset in wanted.items():
        if name in kept:
            continue
        if name not in found:
            problems.append(f"{name} is missing")
            continue
        value = _fitted(name, found[name], dataset.shape)
        if value is None:
            shape, dtype = found[name].shape, found[name].dtype
            problems.append(f"{name} has the shape {shape} and dtype {dtype} for {dataset.shape}")
            continue
        half = dataset.attrs.get("dtype") == "bfloat16"
        value = floats(value, name, "bfloat16" if half else dataset.dtype.name)
        del mine[name]
        mine[name] = value.astype("float32") if half else value
    if problems:
        raise ValueError("; ".join(problems[:4]) + ("; ..." if problems[4:] else ""))


def _fitted(name, dataset, shape):
    """The numbers of a tensor of the file, resized to `shape` if need be; `None` if none fit."""
    if len(dataset.shape) != len(shape) or dataset.size > 100 * math.prod(shape):
        return None  # no window is ten times another
    value = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16":  # two bytes, unknown to HDF5
        if value.dtype.itemsize != 2:
            return None
        value = (value.view("<u2").astype("<u4") << 16).view("<f4")
    if value.dtype.kind != "f":
        return None
    value = floats(value, name)
    if value.shape == shape:
        return value
    if name.endswith("/attention/vars/0") and value.shape[0] == shape[0]:
        side = math.isqrt(value.shape[1])
        table = side % 2 == 1 and side * side == value.shape[1]
        return resize.resize_table(value, shape) if table else None
    if f"/{REGIONAL_TOKENIZER}/" in name and value.shape[2:] == shape[2:] and value.size:
        return resize.resize_kernel(value, shape[:2])
    return None
