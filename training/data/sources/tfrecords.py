"""Images in TFRecord files: read as a stream, shuffled by file and within a window."""

import os
import struct
from pathlib import Path

import tensorflow as tf

from training.data.sources.source import Source, class_info, outside_classes
from training.data.sources.splits import names_of

FILES_AT_ONCE = 16
BLOCK = 8  # records taken from a file in turn
WINDOW = 4096  # encoded images shuffled together


def open_tfrecord(folder, split, *, classes=None, channels=3, window=WINDOW):
    """The images of `folder/{split}*`, each a `tf.train.Example`.

    An example has `image/encoded`, the bytes of the image, and `image/class/label`, an integer
    in [0, classes). Files are not compressed.

    Args:
        folder: where the files are.
        split: "train", "validation" or "test".
        classes: how many; they are named by their numbers.
        channels: 3 or 1.
        window: encoded images that are kept to be shuffled.

    Returns:
        A `Source`. A label outside the classes is found when it is read.

    Raises:
        ValueError: files are missing or cut short, or the classes are not known.

    Example:

    >>> open_tfrecord("/imagenet", "train", classes=1000).count
    1281167
    """
    if not classes:
        raise ValueError("`classes` must be given for TFRecord files, which name no classes.")
    class_names = [str(label) for label in range(classes)]
    files = files_of(Path(folder), split)
    features = {
        "image/encoded": tf.io.FixedLenFeature((), tf.string),
        "image/class/label": tf.io.FixedLenFeature((), tf.int64),
    }

    def parse(record):
        example = tf.io.parse_single_example(record, features)
        return {"image": example["image/encoded"], "label": example["image/class/label"]}

    return stream_source(
        f"{folder} {split}",
        class_names,
        files,
        sum(count_records(file) for file in files),
        parse,
        channels=channels,
        window=window,
    )


def files_of(folder, split):
    """The files of a split, sorted."""
    for name in names_of(split):
        found = sorted(p for p in folder.glob(f"{name}*") if p.is_file())
        if found:
            return found
    raise ValueError(f"{folder} has no files that begin with {split!r}.")


def count_records(path):
    """How many records a file has, from the lengths between them.

    Raises:
        ValueError: the file is cut short or not a TFRecord file.

    Example:

    >>> count_records("train-00000-of-01024")
    1251
    """
    size, place, count = os.path.getsize(path), 0, 0
    with open(path, "rb") as file:
        while place < size:
            file.seek(place)
            head = file.read(8)
            place += struct.unpack("<Q", head)[0] + 16 if len(head) == 8 else size + 1
            count += 1
    if place > size:
        raise ValueError(
            f"{path} is cut short, compressed or not a TFRecord file: record {count - 1} ends "
            "beyond its end."
        )
    return count


def stream_source(
    name, class_names, files, count, parse, *, channels, multi_label=False, window=WINDOW
):
    """A source of labelled images that are read one after the other from TFRecord files.

    Args:
        name: what to call it.
        class_names: one string a class.
        files: paths.
        count: how many records they have together.
        parse: function of a serialised record: {"image": string (), "label"}.
        channels: 3 or 1.
        multi_label: whether labels are float32 (classes,) instead of int64 ().
        window: records shuffled together, see `record_stream`.

    Returns:
        A `Source`.
    """
    classes = len(class_names)

    def key_of(record):
        label = parse(record["record"])["label"]
        right = [label]
        if not multi_label:
            text = outside_classes(record["name"], label, classes)
            right = [tf.debugging.Assert((label >= 0) & (label < classes), [text])]
        with tf.control_dependencies(right):
            return {"index": tf.identity(record["index"]), "name": tf.identity(record["name"])}

    return Source(
        name=name,
        info=class_info(class_names, channels=channels, multi_label=multi_label),
        count=count,
        records=record_stream(files, window),
        example_of=lambda record: parse(record["record"]),
        key_of=key_of,
    )


def record_stream(files, window):
    """The records of TFRecord files in an order that follows from a seed.

    The files are shuffled, then read `FILES_AT_ONCE` at a time, then records are shuffled within
    windows; so the order is not quite an even draw.

    Args:
        files: paths.
        window: records shuffled together.

    Returns:
        `Source.records`: a function that gives a `tf.data.Dataset` of {"record": string (), the
        serialised record, "index": int64 (), "name": string ()}.
    """
    paths = tf.constant([str(file) for file in files])

    def read(number):
        path = tf.gather(paths, number)

        def named(place, record):
            return {
                "record": record,
                # the file and the place in it: it stays the same in any order
                "index": number * 2**32 + place,
                "name": tf.strings.join([path, ", record ", tf.strings.as_string(place)]),
            }

        return tf.data.TFRecordDataset(path).enumerate().map(named)

    def records(epoch_seed):
        numbers = tf.range(len(files), dtype=tf.int64)
        if epoch_seed is None:
            return tf.data.Dataset.from_tensor_slices(numbers).flat_map(read)
        seeds = tf.random.split(epoch_seed, 2)
        numbers = tf.random.experimental.stateless_shuffle(numbers, seeds[0])
        stream = tf.data.Dataset.from_tensor_slices(numbers).interleave(
            read,
            cycle_length=FILES_AT_ONCE,
            block_length=BLOCK,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return shuffled_windows(stream, window, seeds[1])

    return records


def shuffled_windows(stream, window, seed):
    """A dataset's elements, dicts of tensors with an "index", shuffled within windows."""

    def shuffled(number, taken):
        places = tf.range(tf.size(taken["index"]))
        seed_of_window = tf.random.experimental.stateless_fold_in(seed, number)
        places = tf.random.experimental.stateless_shuffle(places, seed_of_window)
        return tf.nest.map_structure(lambda field: tf.gather(field, places), taken)

    return stream.batch(window).enumerate().map(shuffled).unbatch()
