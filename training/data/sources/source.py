"""What every collection of labelled pictures looks like to the pipelines.

A source gives *records* in some order, which cost next to nothing to pass over, and turns a
record into its picture and its facts only when asked. Sources whose pictures can be reached in
any order have the index as their record; streams have the encoded picture.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Source:
    """Labelled pictures.

    Attributes:
        name: what to call it in messages.
        class_names: one string a class; their order gives the labels.
        count: how many pictures.
        multi_label: whether a picture may have any number of classes.
        channels: 3 or 1, what pictures are decoded to.
        records: function of an order's seed (int32 (2,), or None for the natural order) that
            gives a `tf.data.Dataset` of records, nests of tensors that can be batched.
        image_of: function of a record: string scalar (encoded) or uint8 (H, W, channels).
        facts_of: function of a record: {"label": int64 () or float32 (classes,), "index":
            int64 (), the same for the same picture in any order, "name": string ()}.

    Example:

    >>> next(iter(source.examples()))["name"]
    """

    name: str
    class_names: tuple[str, ...]
    count: int
    multi_label: bool
    channels: int
    records: Callable[[Any], Any]
    image_of: Callable[[Any], Any]
    facts_of: Callable[[Any], dict]

    def examples(self, epoch_seed=None):
        """Pictures with their facts, one after the other.

        Args:
            epoch_seed: int32 (2,), from which the order follows; the natural order if None.

        Returns:
            A `tf.data.Dataset` of `facts_of(record) | {"image": image_of(record)}`.
        """
        return self.records(epoch_seed).map(
            lambda record: {"image": self.image_of(record), **self.facts_of(record)},
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )


def shuffled_range(count, epoch_seed):
    """0..count-1 as a dataset, in an order that follows from the seed alone.

    Args:
        count: int.
        epoch_seed: int32 (2,), or None for 0, 1, 2, ...

    Returns:
        A `tf.data.Dataset` of int64.

    Example:

    >>> list(shuffled_range(5, [0, 1]).as_numpy_iterator())
    """
    if epoch_seed is None:
        return tf.data.Dataset.range(count)
    order = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), epoch_seed)
    return tf.data.Dataset.from_tensor_slices(order)


def indexed_source(name, class_names, labels, *, channels, image_of, name_of, multi_label=False):
    """A source whose pictures can be reached in any order.

    Args:
        name: what to call it.
        class_names: one string a class.
        labels: int64 (N,), or float32 (N, classes) with `multi_label`.
        channels: 3 or 1.
        image_of: function of an index.
        name_of: function of an index, gives a string scalar.
        multi_label: whether a picture may have any number of classes.

    Returns:
        A `Source`, whose full permutation changes with every seed.
    """
    count = len(labels)
    labels = tf.constant(labels, tf.float32 if multi_label else tf.int64)
    return Source(
        name=name,
        class_names=tuple(class_names),
        count=count,
        multi_label=multi_label,
        channels=channels,
        records=lambda epoch_seed: shuffled_range(count, epoch_seed),
        image_of=image_of,
        facts_of=lambda index: {
            "label": tf.gather(labels, index),
            "index": index,
            "name": name_of(index),
        },
    )


def array_source(name, class_names, images, labels, *, channels=None):
    """A source of pictures that lie in memory.

    Args:
        name: what to call it; picture 7 is named "NAME, image 7".
        class_names: one string a class.
        images: uint8 (N, H, W, C).
        labels: int64 (N,).
        channels: 3 or 1; C if None.

    Returns:
        A `Source`.

    Example:

    >>> array_source("noise", ["a", "b"], images, labels)
    """
    from keras_regionvit.images.decode import with_channels

    images = tf.constant(images, tf.uint8)
    channels = channels or images.shape[-1]
    return indexed_source(
        name,
        class_names,
        labels,
        channels=channels,
        image_of=lambda index: with_channels(tf.gather(images, index), channels),
        name_of=lambda index: tf.strings.join([name, ", image ", tf.strings.as_string(index)]),
    )


def file_source(name, class_names, folder, files, labels, *, channels=3, multi_label=False):
    """A source of picture files, read one at a time.

    Args:
        name: what to call it.
        class_names: one string a class.
        folder: where the files are.
        files: their paths within `folder`, strings.
        labels: int64 (N,), or float32 (N, classes) with `multi_label`.
        channels: 3 or 1.
        multi_label: whether a picture may have any number of classes.

    Returns:
        A `Source`; the name of a picture is its path.
    """
    names = tf.constant(files)
    folder = str(folder) + "/"

    def name_of(index):
        return folder + tf.gather(names, index)

    return indexed_source(
        name,
        class_names,
        labels,
        channels=channels,
        image_of=lambda index: tf.io.read_file(name_of(index)),
        name_of=name_of,
        multi_label=multi_label,
    )


def multi_hot(labels, classes):
    """Sets of class numbers as rows of zeros and ones.

    >>> multi_hot([[0, 2], []], classes=3)
    array([[1., 0., 1.], [0., 0., 0.]], dtype=float32)
    """
    import numpy as np

    rows = np.zeros((len(labels), classes), "float32")
    for row, numbers in zip(rows, labels, strict=True):
        row[list(numbers)] = 1
    return rows
