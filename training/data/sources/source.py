"""What every data set looks like to the pipelines, and labelled images that can be indexed.

A source gives *records* in some order, which cost next to nothing to pass over, and turns a
record into its example only when asked. Sources whose examples can be reached in any order have
the index as their record; streams have the encoded example.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_regionvit.images.decode import with_channels
from training.data.sources.formats import BY_PILLOW, by_pillow
from training.data.sources.words import class_summary


@dataclasses.dataclass(frozen=True)
class Source:
    """One part of a data set.

    Attributes:
        name: what to call it in messages.
        info: what a task has to know of the data, plain values; the pipeline never looks inside.
            For classification, see `class_info`.
        count: how many records.
        records: function of an order's seed (int32 (2,), or None for the natural order) that
            gives a `tf.data.Dataset` of records, nests of tensors that can be batched.
        example_of: function of a record, gives a dict of tensors for the task. It may fail where
            the example cannot be read, and is called where that is handled. For classification:
            {"image": string () (encoded) or uint8 (H, W, channels), "label": int64 () or, with
            several labels an image, float32 (classes,)}.
        key_of: function of a record, gives {"index": int64 (), the same for the same record in
            any order, "name": string (), for messages}. It decodes no image. It fails where the
            data set itself is wrong, such as a label outside the classes, and is called where
            that ends the run.
        summary: what is in it, in a few words, such as "2 classes: cat 9, dog 11".
        notes: what a user should know of it before a run, such as what was passed over.
        sizes: rows and columns of the image of each record, int32 (count, 2), where records are
            indices and this is known without reading them; else None.
        ids: what the data set itself calls each record, a sequence of numbers or texts by the
            `index` of `key_of`; None where it has no such names.

    Example:

    >>> source = array_source("noise", ["a", "b"], images, labels)
    >>> examples = source.records(None).map(source.example_of)
    """

    name: str
    info: Any
    count: int
    records: Callable[[Any], Any]
    example_of: Callable[[Any], dict]
    key_of: Callable[[Any], dict]
    summary: str = ""
    notes: tuple[str, ...] = ()
    sizes: Any = None
    ids: Any = None


def class_info(class_names, *, channels, multi_label=False):
    """The `info` of a source for classification.

    Args:
        class_names: one string a class; their order gives the labels.
        channels: 3 or 1, what images are decoded to.
        multi_label: whether an image may have any number of classes.

    Returns:
        {"class_names": tuple of str, "multi_label": bool, "channels": int}.

    Example:

    >>> class_info(["cat", "dog"], channels=3)["class_names"]
    ('cat', 'dog')
    """
    return {
        "class_names": tuple(class_names),
        "multi_label": bool(multi_label),
        "channels": int(channels),
    }


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


def indexed_source(
    name, class_names, labels, *, channels, image_of, name_of, multi_label=False, notes=()
):
    """A source of labelled images that can be reached in any order.

    Args:
        name: what to call it.
        class_names: one string a class.
        labels: int64 (N,), or float32 (N, classes) with `multi_label`.
        channels: 3 or 1.
        image_of: function of an index, gives an image as `Source.example_of` has it.
        name_of: function of an index, gives a string scalar.
        multi_label: whether an image may have any number of classes.
        notes: see `Source`.

    Returns:
        A `Source`, whose full permutation changes with every seed.

    Raises:
        ValueError: a label is outside the classes.
    """
    count, labels = len(labels), np.asarray(labels)
    if multi_label:
        counts = labels.sum(0)
    else:
        check_labels(labels, len(class_names), name_of)
        counts = np.bincount(labels, minlength=len(class_names))
    labels = tf.constant(labels, tf.float32 if multi_label else tf.int64)
    return Source(
        name=name,
        info=class_info(class_names, channels=channels, multi_label=multi_label),
        count=count,
        records=lambda epoch_seed: shuffled_range(count, epoch_seed),
        example_of=lambda index: {"image": image_of(index), "label": tf.gather(labels, index)},
        key_of=lambda index: {"index": index, "name": name_of(index)},
        summary=class_summary(class_names, counts),
        notes=tuple(notes),
    )


def check_labels(labels, classes, name_of):
    """Raises a ValueError that names the first image whose label is not in 0..classes-1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        index = tf.constant(wrong[0], tf.int64)
        text = outside_classes(name_of(index), labels[wrong[0]], classes)
        raise ValueError(text.numpy().decode())


def outside_classes(name, label, classes):
    """What is said of a label that is not in 0..classes-1, a string scalar.

    Args:
        name: string scalar, the image's.
        label: integer scalar.
        classes: int.
    """
    label = tf.strings.as_string(label)
    return tf.strings.join([name, " has the label ", label, f", outside the {classes} classes."])


def array_source(name, class_names, images, labels, *, channels=None):
    """A source of images that lie in memory.

    Args:
        name: what to call it; image 7 is named "NAME, image 7".
        class_names: one string a class.
        images: uint8 (N, H, W, C).
        labels: int64 (N,).
        channels: 3 or 1; C if None.

    Returns:
        A `Source`.

    Raises:
        ValueError: a label is outside the classes.

    Example:

    >>> array_source("noise", ["a", "b"], images, labels)
    """
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


def file_source(
    name, class_names, folder, files, labels, *, channels=3, multi_label=False, notes=()
):
    """A source of image files, read one at a time.

    Args:
        name: what to call it.
        class_names: one string a class.
        folder: where the files are.
        files: their paths within `folder`, or absolute ones, strings.
        labels: int64 (N,), or float32 (N, classes) with `multi_label`.
        channels: 3 or 1.
        multi_label: whether an image may have any number of classes.
        notes: see `Source`.

    Returns:
        A `Source`; the name of an image is its path.

    Raises:
        ValueError: a label is outside the classes.
    """
    prefix = f"{folder}/"
    if any(map(os.path.isabs, files)):
        files, prefix = [os.path.join(folder, file) for file in files], ""
    names, before = tf.constant([os.fsencode(file) for file in files]), os.fsencode(prefix)

    def name_of(index):
        return before + tf.gather(names, index)

    return indexed_source(
        name,
        class_names,
        labels,
        channels=channels,
        image_of=reader_of(files, name_of),
        name_of=name_of,
        multi_label=multi_label,
        notes=notes,
    )


def reader_of(files, name_of):
    """A function of an index that gives the bytes of a file, as `decode_image` takes them.

    Args:
        files: names of the files, strings; their ends say which of them Pillow reads.
        name_of: function of an index, gives the path, a string scalar.
    """

    def read(index):
        return tf.io.read_file(name_of(index))

    of_pillow = [file.lower().endswith(BY_PILLOW) for file in files]
    if not any(of_pillow):
        return read
    of_pillow = tf.constant(of_pillow)

    def read_any(index):
        encoded = read(index)
        return tf.cond(
            tf.gather(of_pillow, index), lambda: by_pillow(encoded), lambda: tf.identity(encoded)
        )

    return read_any


def multi_hot(labels, classes):
    """Sets of class numbers as rows of zeros and ones.

    >>> multi_hot([[0, 2], []], classes=3)
    array([[1., 0., 1.], [0., 0., 0.]], dtype=float32)
    """
    rows = np.zeros((len(labels), classes), "float32")
    for row, numbers in zip(rows, labels, strict=True):
        row[list(numbers)] = 1
    return rows
