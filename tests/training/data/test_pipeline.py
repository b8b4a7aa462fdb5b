"""Batches: the same for the same seed however they are made, and exact in number."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_regionvit.images.preprocessing import evaluation_image
from tests.support.sources import write_records
from training.augmentation import crops
from training.data import sampling as order
from training.data.corrupt_images import Skipped
from training.data.pipeline import evaluation_batches, training_batches
from training.data.sources import open_source
from training.data.sources.generated import generated_source
from training.data.sources.source import array_source
from training.data.sources.tfrecords import open_tfrecord
from training.tasks.classification import label_row


def specs_of(source, size):
    """An image and its row of labels."""
    channels, classes = source.info["channels"], len(source.info["class_names"])
    return (
        tf.TensorSpec((size, size, channels), tf.float32),
        tf.TensorSpec((classes,), tf.float32),
    )


def numbered(count, classes=3):
    """Images that are all of one value, their index."""
    images = np.broadcast_to(np.arange(count, dtype="uint8")[:, None, None, None], (count, 8, 8, 3))
    return array_source("numbered", [str(c) for c in range(classes)], images, np.arange(count) % 3)


def write_photos(folder, classes=("cat", "dog"), count=5, size=(37, 29)):
    rng = np.random.default_rng(len(classes) + count)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype="uint8"))
            coarse.resize(size, 3).save(folder / name / f"{number}.jpg")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder, split, 2 x 5 photos to learn from and 2 x 3 to test."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder / "train")
    write_photos(folder / "val", count=3)
    return folder


def run(source, size=16, crop="random_resized", augment=None, **changes):
    channels, classes = source.info["channels"], len(source.info["class_names"])

    def prepare(example, seed):
        seeds = tf.unstack(tf.random.split(seed, 2))
        image, _ = crops.training_image(
            example["image"], seeds[0], size=size, channels=channels, crop=crop
        )
        image = image if augment is None else augment(image, seeds[1])
        return image, label_row(example["label"], classes)

    arguments = {"batch_size": 3, "epochs": 2, "seed": 5} | changes
    batches = training_batches(source, prepare, specs_of(source, size), **arguments)
    return list(batches.as_numpy_iterator())


def evaluation(source, size=8, crop_ratio=0.875, batch_size=2, **options):
    channels, classes = source.info["channels"], len(source.info["class_names"])
    plain = {"mean": (0.0,) * channels, "std": (1.0,) * channels}

    def prepare(example, seed):
        assert seed is None
        image = evaluation_image(example["image"], size, crop_ratio, **plain)
        return image, label_row(example["label"], classes)

    specs = specs_of(source, size)
    return list(evaluation_batches(source, prepare, specs, batch_size=batch_size, **options))


def indices(batches):
    return [images[:, 0, 0, 0].astype(int).tolist() for images, _ in batches]


def equal(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        for field, there in zip(batch, other, strict=True):
            np.testing.assert_array_equal(field, there)


def jitter(image, seed):
    return image + tf.random.stateless_normal(tf.shape(image), seed)


def blend(images, labels, seed):
    share = tf.random.stateless_uniform((), seed)
    return (
        share * images + (1 - share) * images[::-1],
        share * labels + (1 - share) * labels[::-1],
    )


def test_an_epoch_shows_every_image_once():
    batches = run(numbered(11), batch_size=4, epochs=5, crop="none")
    assert len(batches) == 10
    orders = np.reshape(indices(batches), (5, 8)).tolist()
    assert all(len(set(epoch)) == 8 for epoch in orders)
    assert len({tuple(epoch) for epoch in orders}) == 5
    assert set().union(*orders) == set(range(11))  # the rest is not always the same
    for images, labels in batches:
        assert images.dtype == labels.dtype == "float32" and images.shape == (4, 16, 16, 3)
        np.testing.assert_array_equal(labels.argmax(1), images[:, 0, 0, 0] % 3)
        np.testing.assert_array_equal(labels.sum(1), 1)


def test_orders_are_even():
    # each image comes first about equally often: 300 draws of 5, deviation 6.9
    first = [batch[0] for batch in indices(run(numbered(5), batch_size=5, epochs=300, crop="none"))]
    counts = collections.Counter(first)
    assert len(counts) == 5 and all(abs(count - 60) < 30 for count in counts.values())


def test_same_seed_same_batches(photos):
    source = open_source("folder", "train", data=photos)
    options = {"augment": jitter, "mix": blend}
    batches = run(source, parallel=1, **options)
    equal(batches, run(source, parallel=5, **options))
    equal(batches, run(open_source("folder", "train", data=photos), **options))
    other = run(source, seed=6, **options)
    assert all((b[0] != o[0]).any() for b, o in zip(batches, other, strict=True))
    # epochs differ in more than the order
    values = {
        float(image.sum()) for images, _ in run(source, crop="random_resized") for image in images
    }
    assert len(values) == 18


@pytest.mark.parametrize("repeats, replicas", [(1, 1), (3, 3)])
def test_start_step_is_the_tail(photos, repeats, replicas):
    source = open_source("folder", "train", data=photos)
    options = {"repeats": repeats, "replicas": replicas, "augment": jitter}
    options["mix"] = blend
    whole = run(source, **options)
    assert len(whole) == 6
    for start in (1, 4, 6):  # within the first epoch, within the second, at the end
        equal(whole[start:], run(source, start_step=start, **options))


def test_skipped_steps_are_not_decoded(tmp_path):
    source = open_source("folder", "train", data=write_photos(tmp_path / "train").parent)
    records = source.records(order.stream_seed(5, 0, 0))
    order_of = [source.key_of(record)["name"].numpy().decode() for record in records]
    open(order_of[0], "wb").close()  # the first image of epoch 0
    options = {"epochs": 1, "batch_size": 2}
    assert len(run(source, start_step=1, **options)) == 5 - 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="cannot be read"):
        run(source, **options)


@pytest.mark.parametrize("workers, repeats, replicas", [(2, 1, 1), (2, 1, 4), (4, 3, 4)])
def test_workers_share_the_batch(photos, workers, repeats, replicas):
    source = open_source("folder", "train", data=photos)
    options = {"batch_size": 8, "repeats": repeats, "augment": jitter}
    if replicas > 1:
        options["mix"] = blend
    alone = run(source, **options)
    options["replicas"] = replicas
    whole = run(source, **options)
    for (images, _), (others, _) in zip(whole, alone, strict=True):  # in another order
        sums, wanted = (np.sort(x.reshape(8, -1).sum(axis=1)) for x in (images, others))
        np.testing.assert_allclose(sums, wanted, rtol=1e-5)
    parts = [run(source, shard=(index, workers), **options) for index in range(workers)]
    joined = [
        tuple(np.concatenate(x) for x in zip(*batch, strict=True))
        for batch in zip(*parts, strict=True)
    ]
    equal(whole, joined)


def test_repeats():
    batches = indices(run(numbered(24), batch_size=6, replicas=3, repeats=3, epochs=3, crop="none"))
    assert len(batches) == 3 * 4
    for epoch in range(3):
        shown = collections.Counter(np.ravel(batches[4 * epoch : 4 * epoch + 4]).tolist())
        assert len(shown) == 8 and set(shown.values()) == {3}
    for batch in batches:
        parts = [set(batch[i : i + 2]) for i in (0, 2, 4)]
        assert parts[0] == parts[1] == parts[2] and len(parts[0]) == 2


def test_copies_are_augmented_apart(photos):
    source = open_source("folder", "train", data=photos)
    images = np.concatenate([images for images, _ in run(source, repeats=3, epochs=1)])
    assert len(images) == len(np.unique(images.reshape(9, -1), axis=0))


@pytest.mark.parametrize("batch_size, replicas", [(1024, 8), (12, 2), (256, 256)])
def test_rows_as_timm_deals_them(batch_size, replicas):
    # RepeatAugSampler: indices repeated, then `indices[rank::replicas]` for each rank
    sequence = np.arange(batch_size).repeat(3)[: 2 * batch_size]
    rows = order.rows_of(batch_size, repeats=3, replicas=replicas)
    each = batch_size // replicas
    for rank in range(replicas):
        dealt = sequence[rank::replicas]
        for step in range(2):
            mine = sequence[step * batch_size :][rows[rank * each : (rank + 1) * each]]
            np.testing.assert_array_equal(mine, dealt[step * each : (step + 1) * each])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"batch_size": 11}, "between 1 and the 10 examples of numbered"),
        ({"batch_size": 0}, "`batch_size` must lie"),
        ({"start_step": 7}, "between 0 and the 6 steps"),
        ({"replicas": 2}, "multiple of the replicas. Received: 3 and 2"),
        ({"shard": (1, 1)}, "0 <= index < workers"),
        ({"shard": (0, 2)}, "multiple of the workers. Received: 3 and 2"),
        ({"shard": (0, 3), "mix": blend}, "`replicas` must be a multiple"),
        ({"shard": (0, 3), "repeats": 3}, "`replicas` must be a multiple"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        run(numbered(10), **changes)


# Images that cannot be read


@pytest.fixture
def damaged(tmp_path):
    """10 photos, of which the second of each class is cut short, and the third cat is missing."""
    folder = write_photos(tmp_path / "train")
    for name in ("cat", "dog"):
        path = folder / name / "1.jpg"
        path.write_bytes(path.read_bytes()[:-40])
    source = open_source("folder", "train", data=tmp_path)
    (folder / "cat" / "2.jpg").unlink()
    return source


@pytest.mark.parametrize("crop", crops.CROPS)
def test_the_error_names_the_image(damaged, crop):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"train/(cat/[12]|dog/1).jpg cannot be"
    ):
        run(damaged, crop=crop)
    for batch_size in (2, 8):  # the image ends a batch, or lies amid it
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"train/cat/1.jpg cannot be read"):
            evaluation(damaged, 8, batch_size=batch_size)


def test_a_wrong_label_beside_a_damaged_image(damaged):
    """What is wrong with the data set is not taken for an image that cannot be read."""

    def key_of(index):
        wrong = tf.debugging.Assert(index != 3, ["the label 7, outside the 2 classes"])
        with tf.control_dependencies([wrong]):
            return {"index": tf.identity(index), "name": damaged.key_of(index)["name"]}

    source = dataclasses.replace(damaged, key_of=key_of)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the label 7, outside the 2 classes"):
        evaluation(source, 8, batch_size=8, skip_corrupt=True)


def test_images_are_read_once(tmp_path):
    source = open_source("folder", "train", data=write_photos(tmp_path / "train").parent)
    seen = []

    def example_of(index):
        note = tf.numpy_function(lambda index: seen.append(int(index)), [index], [])
        with tf.control_dependencies([note]):
            return tf.nest.map_structure(tf.identity, source.example_of(index))

    counting = dataclasses.replace(source, example_of=example_of)
    everything = list(range(source.count))
    for skip_corrupt in (False, True):
        evaluation(counting, 8, batch_size=4, skip_corrupt=skip_corrupt)
        assert sorted(seen) == everything
        seen.clear()
        run(counting, batch_size=source.count, epochs=1, skip_corrupt=skip_corrupt)
        assert sorted(seen) == everything
        seen.clear()


def test_skipping(damaged):
    skipped = Skipped()
    options = {"batch_size": 5, "epochs": 3, "skip_corrupt": True, "augment": jitter}
    batches = run(damaged, skipped=skipped, **options)
    assert len(batches) == 6 and all(images.shape == (5, 16, 16, 3) for images, _ in batches)
    assert sorted("/".join(name.split("/")[-2:]) for name in skipped.names) == [
        "cat/1.jpg",
        "cat/2.jpg",
        "dog/1.jpg",
    ]
    assert len(skipped) == 3 and set(skipped.names.values()) == {3}  # once an epoch
    for images, _ in batches:
        assert (images.reshape(5, -1).std(axis=1) > 10).all()  # no blank ones
    equal(batches, run(damaged, parallel=1, **options))
    equal(batches[2:], run(damaged, start_step=2, **options))


def test_the_next_readable_takes_the_place():
    from training.data.corrupt_images import replace_unreadable

    readable = [True, False, False, True, False]
    images, labels = replace_unreadable(
        (tf.range(5), tf.range(5) * 10), tf.constant(readable), tf.constant(list("abcde"))
    )
    assert images.numpy().tolist() == [0, 3, 3, 3, 0]
    assert labels.numpy().tolist() == [0, 30, 30, 30, 0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="the first of them a"):
        replace_unreadable(tf.range(2), tf.constant([False] * 2), tf.constant(["a", "b"]))


def test_evaluation_leaves_them_out(damaged):
    skipped = Skipped()
    batches = evaluation(damaged, 8, batch_size=5, skip_corrupt=True, skipped=skipped)
    assert [len(images) for images, _ in batches] == [5, 2]
    assert np.concatenate([labels for _, labels in batches]).sum(0).tolist() == [3, 4]
    assert len(skipped) == 3


def test_the_same_under_op_determinism(damaged):
    # op determinism refuses random state and may run stateful functions one by one
    from tensorflow.python.framework import config

    options = {"batch_size": 5, "skip_corrupt": True, "augment": jitter}
    tf.config.experimental.enable_op_determinism()
    try:
        batches = run(damaged, **options)
    finally:
        config.disable_op_determinism()
    equal(batches, run(damaged, **options))


# Evaluation


def test_evaluation_is_the_evaluation_image(photos):
    source = open_source("folder", "validation", data=photos)
    batches = evaluation(source, 14, batch_size=4)
    assert [len(labels) for _, labels in batches] == [4, 2]
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    assert labels.argmax(1).tolist() == [0, 0, 0, 1, 1, 1]
    for image, path in zip(images, sorted((photos / "val").rglob("*.jpg")), strict=True):
        # 37 x 29 -> 20 x 16 (shorter side 14 / 0.875) -> the middle 14 x 14
        resized = Image.open(path).resize((20, 16), 3).crop((3, 1, 17, 15))
        assert np.abs(image - np.asarray(resized, "float32")).max() <= 1


def test_evaluation_shards(photos):
    source = open_source("folder", "validation", data=photos)
    whole = np.concatenate([images for images, _ in evaluation(source)])
    parts = [
        np.concatenate([images for images, _ in evaluation(source, shard=(w, 2))]) for w in range(2)
    ]
    np.testing.assert_array_equal(whole, np.stack(parts, 1).reshape(whole.shape))


# Streams, and images of several classes


def test_records_in_the_pipeline(tmp_path):
    source = open_tfrecord(write_records(tmp_path), "train", classes=4, window=7)
    options = {"size": 8, "batch_size": 6, "seed": 1, "repeats": 3, "replicas": 3}
    whole = run(source, **options)
    assert len(whole) == 6
    equal(whole[4:], run(source, start_step=4, **options))
    parts = [run(source, shard=(worker, 3), **options) for worker in range(3)]
    for batch, *others in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(batch[0], np.concatenate([images for images, _ in others]))


def test_a_label_outside_the_classes_of_a_stream(tmp_path):
    source = open_source("tfrecord", "train", data=write_records(tmp_path), classes=3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="record 3 has the label 3, outside"):
        evaluation(source, batch_size=4, skip_corrupt=True)


def test_labels_of_several_classes():
    source = generated_source(3, 8, size=8, multi_label=True)
    rows = np.concatenate([labels for _, labels in evaluation(source)])
    expected = [source.example_of(tf.constant(i, tf.int64))["label"] for i in range(8)]
    np.testing.assert_array_equal(rows, expected)
    assert set(rows.sum(axis=1)) == {0, 1, 2}
