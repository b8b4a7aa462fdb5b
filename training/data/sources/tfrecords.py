"""Pictures in TFRecord files: read as a stream, shuffled by file and within a window."""

import os
import struct
from pathlib import Path

import tensorflow as tf

from training.data.sources.folders import SPLITS
from training.data.sources.source import Source

FILES_AT_ONCE = 16
BLOCK = 8  # records taken from a file in turn
WINDOW = 4096  # encoded pictures shuffled together


def open_tfrecord(folder, split, *, classes, class_names=None, channels=3, window=WINDOW):
    """The pictures of `folder/{split}*`, each a `tf.train.Example`.

    An example has `image/encoded`, the bytes of the picture, and `image/class/label`, an integer
    in [0, classes). Files are not compressed.

    Args:
        folder: where the files are.
        split: "train", "validation" or "test".
        classes: how many; None to take it from `class_names`.
        class_names: optional, one string a class.
        channels: 3 or 1.
        window: encoded pictures that are kept to be shuffled.

    Returns:
        A `Source`. A label outside the classes is found when it is read.

    Raises:
        ValueError: files are missing or cut short, or the classes are not known.

    Example:

    >>> open_tfrecord("/imagenet", "train", classes=1000).count
    1281167
    """
    if class_names is None:
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
    for name in (split, *SPLITS.get(split, ())):
        found = sorted(p for p in folder.glob(f"{name}*") if p.is_file())
        if found:
            return found
    raise ValueError(f"{folder} has no files that begin with {split!r}.")


def count_records(path):
    """How many records a file has, from the lengths between them.

    Raises:
        ValueError: the file is cut short or no TFRecord file.

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
            f"{path} is cut short, compressed or no TFRecord file: record {count - 1} ends beyond "
            "its end."
        )
    return count


def stream_source(
    name, class_names, files, count, parse, *, channels, multi_label=False, window=WINDOW
):
    """A source of pictures that are read one after the other from TFRecord files.

    With a seed the files are shuffled, then read `FILES_AT_ONCE` at a time, then records are
    shuffled within windows; so the order is not quite an even draw, but follows from the seed.

    Args:
        name: what to call it.
        class_names: one string a class.
        files: paths.
        count: how many records they have together.
        parse: function of a serialised record: {"image": string (), "label"}.
        channels: 3 or 1.
        multi_label: whether labels are float32 (classes,).
        window: records shuffled together.

    Returns:
        A `Source`.
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

        def shuffled(number, taken):
            seed = tf.random.experimental.stateless_fold_in(seeds[1], number)
            places = tf.range(tf.size(taken["index"]))
            places = tf.random.experimental.stateless_shuffle(places, seed)
            return tf.nest.map_structure(lambda field: tf.gather(field, places), taken)

        return stream.batch(window).enumerate().map(shuffled).unbatch()

    return Source(
        name=name,
        class_names=tuple(class_names),
        count=count,
        multi_label=multi_label,
        channels=channels,
        records=records,
        image_of=lambda record: parse(record["record"])["image"],
        facts_of=lambda record: {
            "label": parse(record["record"])["label"],
            "index": record["index"],
            "name": record["name"],
        },
    )
