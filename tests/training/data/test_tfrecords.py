"""TFRecord files and the sets of TensorFlow Datasets."""

import gzip
import re
import struct

import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.images.decode import decode_image
from tests.support.sources import contents, pixel, prepared_set, write_records
from training.data.corrupt_images import Skipped, said
from training.data.pipeline import evaluation_batches
from training.data.sampling import rows_of, sequence
from training.data.sources import open_source, tfds_sets
from training.data.sources.tfrecords import count_records, open_tfrecord


def test_records(tmp_path):
    source = open_source("tfrecord", "train", data=write_records(tmp_path), classes=4)
    assert source.count == 20
    assert source.info == {"class_names": tuple("0123"), "multi_label": False, "channels": 3}
    examples = contents(source)
    assert [pixel(e) for e in examples] == list(range(20))
    assert [int(e["label"]) for e in examples] == [i % 4 for i in range(20)]
    assert examples[7]["name"].decode() == f"{tmp_path}/train-00001-of-00003, record 1"
    assert len({int(e["index"]) for e in examples}) == 20


def test_records_are_shuffled_by_the_seed(tmp_path):
    source = open_tfrecord(write_records(tmp_path), "train", classes=4, window=7)
    natural = {int(e["index"]): pixel(e) for e in contents(source)}
    orders = []
    for seed in ([0, 1], [0, 1], [0, 2]):
        examples = contents(source, seed)
        assert all(natural[int(e["index"])] == pixel(e) for e in examples)
        orders.append([pixel(e) for e in examples])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == list(range(20)) != orders[0]


def test_a_sequence_of_records(tmp_path):
    """What is passed over and what others get changes nothing of the rest of an epoch."""
    source = open_tfrecord(write_records(tmp_path), "train", classes=4, window=7)

    def shown(begin, count, shard=(0, 1)):
        rows = rows_of(6, repeats=3, replicas=3, shard=shard)
        records = source.records(tf.constant([0, 1]))
        placed = sequence(records, 3, tf.constant(begin, tf.int64), count, rows, 6)
        placed = placed.map(lambda record, copy: (source.key_of(record)["index"], copy))
        return [tuple(map(int, pair)) for pair in placed.as_numpy_iterator()]

    whole = shown(0, 18)
    assert len(set(whole)) == 18 and {copy for _, copy in whole} == {0, 1, 2}
    assert whole[12:] == shown(12, 6)
    parts = [shown(0, 18, shard=(worker, 3)) for worker in range(3)]
    joined = [pair for i in range(0, 6, 2) for part in parts for pair in part[i : i + 2]]
    assert joined == whole


def test_a_label_outside_the_classes(tmp_path):
    """It is an error of the data set, found with the key, not one of an image."""
    source = open_source("tfrecord", "train", data=write_records(tmp_path), classes=3)
    keys = source.records(None).map(source.key_of)
    assert len(list(keys.take(3))) == 3
    message = "record 3 has the label 3, outside the 3 classes."
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(keys)
    assert len(list(source.records(None).map(source.example_of))) == 20


def test_a_record_of_another_kind(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "train")) as writer:
        writer.write(tf.train.Example().SerializeToString())
    source = open_source("tfrecord", "train", data=tmp_path, classes=3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="image/"):
        list(source.records(None).map(source.key_of))


def test_records_refused(tmp_path):
    folder = write_records(tmp_path / "good")
    with pytest.raises(ValueError, match="`classes` must be given"):
        open_source("tfrecord", "train", data=folder)
    with pytest.raises(ValueError, match="has no files that begin with 'validation'"):
        open_source("tfrecord", "validation", data=folder, classes=4)
    path = folder / "train-00001-of-00003"
    for length in (-1, 9, 3):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match="train-00001-of-00003 is cut short"):
            open_source("tfrecord", "train", data=folder, classes=4)
    path.write_bytes(gzip.compress(b"x" * 99))
    with pytest.raises(ValueError, match="cut short, compressed or not a TFRecord"):
        count_records(path)


def damage(path, number):
    """Changes a byte in the middle of a record."""
    data, place = bytearray(path.read_bytes()), 0
    for _ in range(number):
        place += struct.unpack("<Q", data[place : place + 8])[0] + 16
    data[place + 40] ^= 0xFF
    path.write_bytes(bytes(data))


@pytest.fixture
def damaged(tmp_path):
    """20 images of value and label i in files of 6, 7 and 7; number 8 and those behind are lost."""
    damage(write_records(tmp_path) / "train-00001-of-00003", 2)
    return open_source("tfrecord", "train", data=tmp_path, classes=4)


def test_a_damaged_record_has_a_name(damaged, tmp_path):
    assert damaged.count == 20
    examples = contents(damaged)
    lost = [example["name"].decode() for example in examples if not example["image"]]
    file = f"{tmp_path}/train-00001-of-00003"
    assert lost == [f"{file}, record {i}, at or behind a damaged one," for i in range(2, 7)]
    whole = [pixel(example) for example in examples if example["image"]]
    assert whole == [*range(8), *range(13, 20)]
    for seed in ([0, 1], [0, 2]):  # in any order there are as many, each once
        shuffled = contents(damaged, seed)
        assert sorted(int(e["index"]) for e in shuffled) == [int(e["index"]) for e in examples]


def evaluated(source, **options):
    """The values of the images of an evaluation."""

    def prepare(example, seed):
        return tf.cast(decode_image(example["image"])[0, 0, 0], tf.int32), example["label"]

    specs = (tf.TensorSpec((), tf.int32), tf.TensorSpec((), tf.int64))
    batches = evaluation_batches(source, prepare, specs, batch_size=6, parallel=1, **options)
    return np.concatenate([images for images, _ in batches.as_numpy_iterator()]).tolist()


def test_a_damaged_record_ends_an_evaluation_or_is_left_out(damaged):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        evaluated(damaged)
    words = r"^/.*/train-00001-of-00003, record 2, at or behind a damaged one, cannot be read as .*"
    assert re.match(words + r"leave such images out with --skip-corrupt\. ", said(caught.value))
    skipped = Skipped()
    found = evaluated(damaged, skip_corrupt=True, skipped=skipped)
    assert found == [*range(8), *range(13, 20)] and len(skipped) == 5


def test_files_may_have_capitals(tmp_path):
    write_records(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.title()))
    assert open_source("tfrecord", "train", data=tmp_path, classes=4).count == 20


# TensorFlow Datasets: the sets' own classes, prepared from images made here


def grey(i):
    return np.full((28, 28, 1), i, "uint8")


@pytest.mark.filterwarnings("ignore")  # TFDS' own
def test_tfds(tmp_path, monkeypatch):
    made = {
        split: [(i, {"image": grey(i), "label": i % 10}) for i in range(count)]
        for split, count in (("train", 15), ("test", 6))
    }
    data = prepared_set("fashion_mnist", tmp_path, monkeypatch, made)
    for spec in ("tfds:fashion_mnist", "tfds:fashion_mnist"):
        source = open_source(spec, "train", data=data, classes=10)
        info = source.info
        assert (source.count, info["channels"], len(info["class_names"])) == (15, 1, 10)
        examples = contents(source)
        assert sorted(pixel(e) for e in examples) == list(range(15))
        assert all(pixel(e) % 10 == e["label"] for e in examples)
    held_out = open_source(
        "tfds:fashion_mnist", "validation", data=data
    )  # the set has a test split
    assert held_out.count == 6 and held_out.name == "tfds:fashion_mnist test"
    with pytest.raises(ValueError, match="`classes` must be 10, as many as tfds:fashion_mnist"):
        open_source("tfds:fashion_mnist", "train", data=data, classes=5)


@pytest.mark.filterwarnings("ignore")  # TFDS' own
def test_tfds_real_labels(tmp_path, monkeypatch):
    sets = [[3], [], [7, 999]]
    made = {
        "validation": [
            (
                i,
                {
                    "image": np.zeros((5, 6, 3), "uint8"),
                    "original_label": 3,
                    "real_label": labels,
                    "file_name": f"{i}.JPEG",
                },
            )
            for i, labels in enumerate(sets)
        ]
    }
    data = prepared_set("imagenet2012_real", tmp_path, monkeypatch, made)
    source = open_source("tfds:imagenet2012_real", "test", data=data, classes=1000)
    assert source.info["multi_label"] and source.count == 3
    assert source.example_of(next(iter(source.records(None))))["label"].shape == (1000,)
    found = [np.flatnonzero(e["label"]).tolist() for e in contents(source)]
    assert sorted(found) == sorted(sets)


def test_tfds_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"`data` must be one of folder, csv.*Received: 'tfds:mnist'"
    ):
        open_source("tfds:mnist", "train")
    with pytest.raises(ValueError, match=r"tfds: must be followed by one of imagenet2012, "):
        tfds_sets.open_tfds("mnist", "train")


@pytest.mark.filterwarnings("ignore")  # TFDS' own
def test_tfds_without_the_archives(tmp_path):
    with pytest.raises(
        ValueError, match=r"tfds:imagenet2012 is not in .* and could not be prepared"
    ):
        open_source("tfds:imagenet2012", "train", data=tmp_path)
