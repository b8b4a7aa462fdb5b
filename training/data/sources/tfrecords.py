"""Images in TFRecord files: read as a stream, shuffled by file and within a window."""

import os
import struct
from pathlib import Path

import tensorflow as tf

from training.data.sources.listing import entries, is_folder
from training.data.sources.source import Source, class_info, outside_classes
from training.data.sources.splits import names_of
from training.data.sources.words import class_summary, shown

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
        ValueError: files are missing, cut short or cannot be opened, or the classes are not
            known.

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
        [count_records(file) for file in files],
        parse,
        damaged_record(["image/encoded"], ["image/class/label"]),
        channels=channels,
        window=window,
    )


def files_of(folder, split):
    """The files of a split, sorted; their names may have capitals."""
    there = [
        Path(entry.path) for entry in entries(folder) if not is_folder(entry) and entry.is_file()
    ]
    for name in names_of(split):
        found = [path for path in there if path.name.lower().startswith(name)]
        if found:
            return found
    raise ValueError(f"{shown(folder)} has no files that begin with {split!r}.")


def count_records(path):
    """How many records a file has, from the lengths between them.

    Raises:
        ValueError: the file is cut short or not a TFRecord file.

    Example:

    >>> count_records("train-00000-of-01024")
    1251
    """
    size, place, count = os.path.getsize(path), 0, 0
    try:
        with open(path, "rb") as file:
            while place < size:
                file.seek(place)
                head = file.read(8)
                place += struct.unpack("<Q", head)[0] + 16 if len(head) == 8 else size + 1
                count += 1
    except OSError as error:
        raise ValueError(f"{shown(path)} cannot be opened: {error.strerror}.") from None
    if place > size:
        raise ValueError(
            f"{shown(path)} is cut short, compressed or not a TFRecord file: record {count - 1} "
            "ends beyond its end; make the file again, or move it away."
        )
    return count


def damaged_record(images, labels):
    """A record that stands for one that is damaged: it can be parsed, and holds no image.

    Args:
        images: names of the features with encoded images.
        labels: names of the features with labels; label 0 stands there.

    Returns:
        Bytes, a serialised `tf.train.Example`.
    """
    feature = {name: tf.train.Feature(bytes_list={"value": [b""]}) for name in images}
    feature |= {name: tf.train.Feature(int64_list={"value": [0]}) for name in labels}
    feature["damaged"] = tf.train.Feature()  # no real record equals it
    return tf.train.Example(features={"feature": feature}).SerializeToString()


def stream_source(
    name, class_names, files, counts, parse, damaged, *, channels, multi_label=False, window=WINDOW
):
    """A source of labelled images that are read one after the other from TFRecord files.

    Args:
        name: what to call it.
        class_names: one string a class.
        files: paths.
        counts: how many records each file has.
        parse: function of a serialised record: {"image": string (), "label"}.
        damaged: as `damaged_record` makes it.
        channels: 3 or 1.
        multi_label: whether labels are float32 (classes,) instead of int64 ().
        window: records shuffled together, see `record_stream`.

    Returns:
        A `Source`. Of a file in which a record is damaged, that record and those behind it are
        images that cannot be read.
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
        count=sum(counts),
        records=record_stream(files, counts, damaged, window),
        example_of=lambda record: parse(record["record"]),
        key_of=key_of,
        summary=class_summary(class_names),
    )


def record_stream(files, counts, damaged, window):
    """The records of TFRecord files in an order that follows from a seed.

    The files are shuffled, then read `FILES_AT_ONCE` at a time, then records are shuffled within
    windows; so the order is not quite an even draw.

    Where a file is damaged its reader gives an error once and then ends, so the rest of its records
    are made up; a run has as many steps as without the damage, and each loss has a name.

    Args:
        files: paths.
        counts: how many records each file has.
        damaged: a serialised record, given for each that cannot be read.
        window: records shuffled together.

    Returns:
        `Source.records`: a function that gives a `tf.data.Dataset` of {"record": string (), the
        serialised record, "index": int64 (), "name": string ()}.
    """
    paths, counts = (
        tf.constant([os.fsencode(file) for file in files]),
        tf.constant(counts, tf.int64),
    )
    rest = tf.data.Dataset.from_tensors(damaged).repeat()

    def read(number):
        path = tf.gather(paths, number)

        def named(place, record):
            note = tf.where(record == damaged, ", at or behind a damaged one,", "")
            return {
                "record": record,
                # the file and the place in it: it stays the same in any order
                "index": number * 2**32 + place,
                "name": tf.strings.join([path, ", record ", tf.strings.as_string(place), note]),
            }

        whole = tf.data.TFRecordDataset(path).ignore_errors(log_warning=False)
        return whole.concatenate(rest).take(tf.gather(counts, number)).enumerate().map(named)

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
