"""The weights in a `.weights.h5` or `.keras` file of this package into a model, strictly.

Keras names the tensors in a file after the classes of the layers that hold them, such as
"layers/dense/vars/1". Beside them it keeps the names of the layers, by which the head is found.
"""

import math
import os
import shutil
import tempfile
import zipfile

from keras_regionvit.backbone import REGIONAL_TOKENIZER
from keras_regionvit.tasks.classification import HEAD
from keras_regionvit.weights import resize

_LAYERS = "layers/"  # the tensors of an optimizer are elsewhere

# What a damaged or hostile file makes zipfile and h5py raise.
_ERRORS = (zipfile.BadZipFile, KeyError, OSError, RuntimeError, TypeError, ValueError)


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
            or a normalisation of the image, is left out.
        any_classes: whether the head may have another number of classes; it then stays as it is.

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
            model.save_weights(merged)
            with h5py.File(source) as theirs, h5py.File(merged, "r+") as mine:
                found, wanted = _datasets(theirs), _datasets(mine)
                kept = _head_of_other_classes(found, wanted) if any_classes else ()
                _merge(mine, found, wanted, kept)
            model.load_weights(merged)
        except (
            zipfile.BadZipFile,
            KeyError,
            OSError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            reason = str(error).strip().splitlines()
            raise ValueError(
                f"{path} does not hold the weights of the model {model.name!r}: "
                f"{reason[0] if reason else type(error).__name__}"
            ) from error
    return [variable.path for variable in model.get_layer(HEAD).weights] if kept else []


def _weights_in(path, folder):
    """The path of an HDF5 file with the weights in `path`, unpacked into `folder` if need be."""
    if not path.endswith(".keras"):
        return path
    unpacked = f"{folder}/theirs.weights.h5"
    with zipfile.ZipFile(path) as archive, open(unpacked, "wb") as file:
        shutil.copyfileobj(archive.open("model.weights.h5"), file)
    return unpacked


def _datasets(file):
    """`{name: dataset}` of the layers; links, which may lead out of the file, are not followed."""
    found = {}

    def visit(name, item):
        if name.startswith(_LAYERS) and hasattr(item, "shape"):
            found[name] = item

    file.visititems(visit)
    return found


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
    problems = [f"{name} is unexpected" for name in unexpected]
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
        del mine[name]
        mine[name] = value
    if problems:
        raise ValueError("; ".join(problems[:4]) + ("; ..." if problems[4:] else ""))


def _fitted(name, dataset, shape):
    """The numbers of a tensor of the file, resized to `shape` if need be; `None` if none fit."""
    if len(dataset.shape) != len(shape) or dataset.size > 100 * math.prod(shape):
        return None  # no window is ten times another
    if dataset.external or dataset.is_virtual:
        return None  # the numbers are in another file
    value = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16":  # two bytes, unknown to HDF5
        value = (value.view("<u2").astype("<u4") << 16).view("<f4")
    if value.dtype.kind != "f":
        return None
    if value.shape == shape:
        return value
    if name.endswith("/attention/vars/0") and value.shape[0] == shape[0]:
        side = math.isqrt(value.shape[1])
        table = side % 2 == 1 and side * side == value.shape[1]
        return resize.resize_table(value, shape) if table else None
    if f"/{REGIONAL_TOKENIZER}/" in name and value.shape[2:] == shape[2:] and value.size:
        return resize.resize_kernel(value, shape[:2])
    return None
