"""Fashion-MNIST, 5,000 + 1,000 images that lie in the repository.

Grey images 28x28, clothes light on black; 10 classes, equally many of each. MIT licence,
Copyright 2017 Zalando SE (`LICENSE-fashion-mnist.txt` beside this file).
"""

import typing
from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / "fashion_mnist_6k.npz"
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


class Split(typing.NamedTuple):
    """Images uint8 (N, 28, 28, 1) and labels int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray


def load():
    """The images and labels.

    Returns:
        Two `Split`s: 5,000 images of the original training split to learn from, and 1,000 of
        the original test split, held out.

    Example:

    >>> training, held_out = load()
    """
    with np.load(FILE) as arrays:
        return tuple(
            Split(arrays[f"{name}_images"][..., None], arrays[f"{name}_labels"].astype("int64"))
            for name in ("train", "test")
        )


def first_of_each_class(split, count):
    """The places of `count` images, every class in turn.

    Args:
        split: a `Split`.
        count: how many, at most all.

    Returns:
        int64 array (count,) of indices.

    Example:

    >>> first_of_each_class(held_out, 20)  # two of each class
    """
    by_class = np.argsort(split.labels, kind="stable")
    turn = np.zeros(len(by_class), "int64")
    for label in np.unique(split.labels):
        mine = split.labels[by_class] == label
        turn[mine] = np.arange(mine.sum())
    return by_class[np.argsort(turn, kind="stable")][:count]
