"""Fashion-MNIST whole, from the four files that its makers publish.

They are what the Debian package `dataset-fashion-mnist` holds, `*-ubyte.gz` or unpacked.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from training.data.sources.fashion_mnist import CLASS_NAMES
from training.data.sources.source import array_source
from training.data.sources.splits import names_of


def open_idx(folder, split, *, channels=1):
    """The 60,000 (train) or 10,000 (validation, test) grey images, 28x28.

    Args:
        folder: where `train-images-idx3-ubyte.gz` and its three companions are.
        split: "train", "validation" or "test".
        channels: 1 or 3.

    Returns:
        A `Source`.

    Raises:
        ValueError: a file is missing, damaged or does not fit its companion, or `split` is unknown.

    Example:

    >>> open_idx("/usr/share/datasets/fashion-mnist", "train").count
    60000
    """
    stem = "train" if names_of(split) == names_of("train") else "t10k"
    images = read_idx(find(folder, f"{stem}-images-idx3-ubyte"), axes=3)
    path = find(folder, f"{stem}-labels-idx1-ubyte")
    labels = read_idx(path, axes=1)
    if len(images) != len(labels):
        raise ValueError(f"{path} has {len(labels)} labels for {len(images)} images.")
    if labels.max(initial=0) >= len(CLASS_NAMES):
        raise ValueError(
            f"{path} has the label {labels.max()}, outside the {len(CLASS_NAMES)} classes."
        )
    name = f"fashion_mnist {split}"
    return array_source(
        name, CLASS_NAMES, images[..., None], labels.astype("int64"), channels=channels
    )


def find(folder, name):
    """The file `name` in `folder`, as it is or with .gz."""
    for path in (Path(folder, name), Path(folder, name + ".gz")):
        if path.is_file():
            return path
    raise ValueError(f"{folder} has neither {name} nor {name}.gz.")


def read_idx(path, axes):
    """Reads an IDX file of bytes.

    Args:
        path: the file, compressed if it ends in `.gz`.
        axes: how many axes the array must have.

    Returns:
        A uint8 array.

    Raises:
        ValueError: the file is damaged or of another kind.

    Example:

    >>> read_idx("t10k-labels-idx1-ubyte.gz", axes=1).shape
    (10000,)
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        kind, *shape = struct.unpack(f">{1 + axes}I", data[: 4 * (1 + axes)])
        if kind != 0x800 + axes:
            raise ValueError(f"its first bytes are {kind:#x}")
        return np.frombuffer(data, "uint8", offset=4 * (1 + axes)).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise ValueError(f"{path} is not a whole IDX file of {axes} axes: {error}.") from None
