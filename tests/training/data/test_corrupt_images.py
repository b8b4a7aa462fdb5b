"""Examples that cannot be read: named in the error, or replaced and counted."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.images.decode import decode_image
from tests.support.sources import write, write_records
from training.data.corrupt_images import Skipped, careful_reader, read_or, replace_unreadable, said
from training.data.reading import whole_batch
from training.data.sources import open_source

COUNT = 8
SPECS = {
    "image": tf.TensorSpec((9, 12, 3), tf.uint8),
    "both": (tf.TensorSpec((), tf.int64), tf.TensorSpec((2,), tf.float32)),
}


@pytest.fixture
def source(tmp_path):
    """8 images, all of one value, their index."""
    write(tmp_path, [f"train/{name}/{number}.png" for name in "ab" for number in range(4)])
    return open_source("folder", "train", data=tmp_path)


@pytest.fixture
def damaged(source, tmp_path):
    """The second image is cut short, the seventh is missing."""
    path = tmp_path / "train/a/1.png"
    path.write_bytes(path.read_bytes()[:-30])
    (tmp_path / "train/b/2.png").unlink()
    return source


def batch_of(source, skip_corrupt=True, skipped=None, parallel=None, count=COUNT):
    """`(nest, readable, names)` of the first records, made as the pipeline makes it."""

    def read(record):
        example = source.example_of(record)
        image = tf.ensure_shape(decode_image(example["image"]), (9, 12, 3))
        return {"image": image, "both": (example["label"], tf.ones((2,)))}

    def example(reader):
        def example(record):
            key = source.key_of(record)
            return *reader(read, (record,), key), key["name"]

        return example

    skipped = Skipped() if skipped is None else skipped
    careful = careful_reader(SPECS, skip_corrupt, skipped)
    batches = source.records(None).batch(count, drop_remainder=True)
    batches = batches.map(lambda records: whole_batch(records, count, example, careful, parallel))
    return next(batches.as_numpy_iterator())


@pytest.mark.parametrize("skip_corrupt", [False, True])
def test_what_can_be_read_is_read_once(source, skip_corrupt):
    seen = []

    def example_of(index):
        note = tf.numpy_function(lambda index: seen.append(int(index)), [index], [])
        with tf.control_dependencies([note]):
            return source.example_of(index)

    counting = dataclasses.replace(source, example_of=example_of)
    nest, readable, names = batch_of(counting, skip_corrupt)
    assert sorted(seen) == list(range(COUNT)) and readable.all()
    np.testing.assert_array_equal(nest["image"][:, 0, 0, 0], range(COUNT))
    np.testing.assert_array_equal(nest["both"][0], [0] * 4 + [1] * 4)
    assert nest["both"][1].shape == (COUNT, 2)
    assert [name.decode()[-7:] for name in names[:2]] == ["a/0.png", "a/1.png"]


def test_a_nest_of_zeros_stands_for_what_cannot_be_read(damaged):
    skipped = Skipped()
    nest, readable, _ = batch_of(damaged, skipped=skipped)
    np.testing.assert_array_equal(readable, [True, False, True, True, True, True, False, True])
    np.testing.assert_array_equal(nest["image"][:, 0, 0, 0], [0, 0, 2, 3, 4, 5, 0, 7])
    np.testing.assert_array_equal(nest["both"][0], [0, 0, 0, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(nest["both"][1].sum(1), [2, 0, 2, 2, 2, 2, 0, 2])
    assert sorted(name[-7:] for name in skipped.names) == ["a/1.png", "b/2.png"]
    assert len(skipped) == 2 and set(skipped.names.values()) == {1}
    alone, _, _ = batch_of(damaged, parallel=1)
    tf.nest.map_structure(np.testing.assert_array_equal, nest, alone)


@pytest.mark.parametrize("count", [2, 8])  # the image ends a batch, or lies amid it
def test_the_error_names_the_image(damaged, count):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"train/a/1.png cannot be read as an"):
        batch_of(damaged, skip_corrupt=False, count=count)


def test_a_wrong_label_is_no_corrupt_image(tmp_path):
    source = open_source("tfrecord", "train", data=write_records(tmp_path), classes=3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="has the label 3, outside the 3"):
        batch_of(source)


def test_one_of_two_nests():
    def function(number):
        with tf.control_dependencies([tf.debugging.assert_greater(number, 0)]):
            return {"double": 2 * number, "text": tf.strings.as_string(number)}

    otherwise = {"double": tf.constant(-1), "text": tf.constant("none")}
    for number, expected in ((3, (6, b"3", True)), (0, (-1, b"none", False))):
        nest, worked = read_or(function, tf.constant(number), otherwise)
        assert (int(nest["double"]), nest["text"].numpy(), bool(worked)) == expected


def test_the_next_readable_takes_the_place():
    batch = {"image": tf.range(5), "both": (tf.range(5) * 10, tf.constant(list("vwxyz")))}
    readable = tf.constant([True, False, False, True, False])
    found = replace_unreadable(batch, readable, tf.constant(list("abcde")))
    assert found["image"].numpy().tolist() == [0, 3, 3, 3, 0]
    assert found["both"][0].numpy().tolist() == [0, 30, 30, 30, 0]
    assert found["both"][1].numpy().tolist() == [b"v", b"y", b"y", b"y", b"v"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="the first of them a"):
        replace_unreadable(tf.range(2), tf.constant([False] * 2), tf.constant(["a", "b"]))


def test_the_own_sentence_comes_first(damaged):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        batch_of(damaged, skip_corrupt=False)
    text = said(caught.value)
    own, _, others = text.partition(" (TensorFlow: ")
    assert re.fullmatch(r"/.*/a/1\.png cannot be read as an image: it is .* --skip-corrupt\.", own)
    assert len(others) < 70 and "\n" not in text
    assert said(tf.errors.UnavailableError(None, None, "lost\nline")) == "lost"
    assert said(ValueError()) == "ValueError"
