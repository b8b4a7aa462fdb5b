"""Batches: the same for the same seed however they are made, and exact in number."""

import collections
import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from training.augmentation import crops, resize
from training.data import sampling as order
from training.data.corrupt_images import Skipped
from training.data.pipeline import evaluation_batches, training_batches
from training.data.sources import open_source
from training.data.sources.generated import generated_source
from training.data.sources.source import array_source

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def numbered(count, classes=3):
    """Pictures that are all of one value, their index."""
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


def run(source, **changes):
    arguments = {"image_size": 16, "batch_size": 3, "epochs": 2, "seed": 5} | changes
    return list(training_batches(source, **arguments).as_numpy_iterator())


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


def test_an_epoch_shows_every_picture_once():
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
    # each picture comes first about equally often: 300 draws of 5, deviation 6.9
    first = [batch[0] for batch in indices(run(numbered(5), batch_size=5, epochs=300, crop="none"))]
    counts = collections.Counter(first)
    assert len(counts) == 5 and all(abs(count - 60) < 30 for count in counts.values())


def test_same_seed_same_batches(photos):
    source = open_source("folder", "train", data=photos)
    options = {"augment_image": jitter, "augment_batch": blend}
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
    options = {"repeats": repeats, "replicas": replicas, "augment_image": jitter}
    options["augment_batch"] = blend
    whole = run(source, **options)
    assert len(whole) == 6
    for start in (1, 4, 6):  # within the first epoch, within the second, at the end
        equal(whole[start:], run(source, start_step=start, **options))


def test_skipped_steps_are_not_decoded(tmp_path):
    source = open_source("folder", "train", data=write_photos(tmp_path / "train").parent)
    order_of = [e["name"].numpy().decode() for e in source.examples(order.stream_seed(5, 0, 0))]
    open(order_of[0], "wb").close()  # the first picture of epoch 0
    options = {"epochs": 1, "batch_size": 2}
    assert len(run(source, start_step=1, **options)) == 5 - 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="cannot be read"):
        run(source, **options)


@pytest.mark.parametrize("workers, repeats, replicas", [(2, 1, 1), (2, 1, 4), (4, 3, 4)])
def test_workers_share_the_batch(photos, workers, repeats, replicas):
    source = open_source("folder", "train", data=photos)
    options = {"batch_size": 8, "repeats": repeats, "augment_image": jitter}
    if replicas > 1:
        options["augment_batch"] = blend
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
        ({"batch_size": 11}, "between 1 and the 10 pictures of numbered"),
        ({"batch_size": 0}, "`batch_size` must lie"),
        ({"crop": "middle"}, "`crop` must be one of random_resized, shift, none"),
        ({"start_step": 7}, "between 0 and the 6 steps"),
        ({"replicas": 2}, "multiple of the replicas. Received: 3 and 2"),
        ({"shard": (1, 1)}, "0 <= index < workers"),
        ({"shard": (0, 2)}, "multiple of the workers. Received: 3 and 2"),
        ({"shard": (0, 3), "augment_batch": blend}, "`replicas` must be a multiple"),
        ({"shard": (0, 3), "repeats": 3}, "`replicas` must be a multiple"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        run(numbered(10), **changes)


def test_a_label_outside_the_classes():
    images = np.zeros((4, 8, 8, 3), "uint8")
    source = array_source("wrong", ["a", "b"], images, np.array([0, 1, 2, 1]))
    message = "wrong, image 2 has the label 2, outside the 2 classes"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        run(source)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(evaluation_batches(source, image_size=8, batch_size=2))


# Pictures that cannot be read


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
def test_the_error_names_the_picture(damaged, crop):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"train/(cat/[12]|dog/1).jpg cannot be"
    ):
        run(damaged, crop=crop)
    for batch_size in (2, 8):  # the picture ends a batch, or lies amid it
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"train/cat/1.jpg cannot be read"):
            list(evaluation_batches(damaged, image_size=8, batch_size=batch_size))


def test_a_wrong_label_beside_a_damaged_picture(damaged):
    def facts_of(index):
        facts = damaged.facts_of(index)
        return {**facts, "label": tf.where(index == 3, tf.constant(7, tf.int64), facts["label"])}

    source = dataclasses.replace(damaged, facts_of=facts_of)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the label 7, outside the 2 classes"):
        list(evaluation_batches(source, image_size=8, batch_size=8, skip_corrupt=True))


def test_pictures_are_read_once(tmp_path):
    source = open_source("folder", "train", data=write_photos(tmp_path / "train").parent)
    seen = []

    def image_of(index):
        note = tf.numpy_function(lambda index: seen.append(int(index)), [index], [])
        with tf.control_dependencies([note]):
            return source.image_of(index)

    counting = dataclasses.replace(source, image_of=image_of)
    everything = list(range(source.count))
    for skip_corrupt in (False, True):
        list(evaluation_batches(counting, image_size=8, batch_size=4, skip_corrupt=skip_corrupt))
        assert sorted(seen) == everything
        seen.clear()
        run(counting, batch_size=source.count, epochs=1, skip_corrupt=skip_corrupt)
        assert sorted(seen) == everything
        seen.clear()


def test_skipping(damaged):
    skipped = Skipped()
    options = {"batch_size": 5, "epochs": 3, "skip_corrupt": True, "augment_image": jitter}
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
        tf.range(5), tf.range(5) * 10, tf.constant(readable), tf.constant(list("abcde"))
    )
    assert images.numpy().tolist() == [0, 3, 3, 3, 0]
    assert labels.numpy().tolist() == [0, 30, 30, 30, 0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="the first of them a"):
        replace_unreadable(
            tf.range(2), tf.range(2), tf.constant([False] * 2), tf.constant(["a", "b"])
        )


def test_evaluation_leaves_them_out(damaged):
    skipped = Skipped()
    batches = list(
        evaluation_batches(damaged, image_size=8, batch_size=5, skip_corrupt=True, skipped=skipped)
    )
    assert [len(images) for images, _ in batches] == [5, 2]
    assert np.concatenate([labels for _, labels in batches]).sum(0).tolist() == [3, 4]
    assert len(skipped) == 3


def test_the_same_under_op_determinism(damaged):
    # op determinism refuses random state and may run stateful functions one by one
    from tensorflow.python.framework import config

    options = {"batch_size": 5, "skip_corrupt": True, "augment_image": jitter}
    tf.config.experimental.enable_op_determinism()
    try:
        batches = run(damaged, **options)
    finally:
        config.disable_op_determinism()
    equal(batches, run(damaged, **options))


# Evaluation


def test_evaluation_is_the_evaluation_image(photos):
    source = open_source("folder", "validation", data=photos)
    batches = list(
        evaluation_batches(source, image_size=14, batch_size=4, crop_ratio=0.875, **PLAIN)
    )
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
    options = {"image_size": 8, "batch_size": 2}
    whole = np.concatenate([i for i, _ in evaluation_batches(source, **options)])
    parts = [
        np.concatenate([i for i, _ in evaluation_batches(source, shard=(w, 2), **options)])
        for w in range(2)
    ]
    np.testing.assert_array_equal(whole, np.stack(parts, 1).reshape(whole.shape))


# Crops


@tf.function(reduce_retracing=True)
def boxes(shape, count=4000):
    seeds = tf.random.split([3, 4], count)
    return tf.map_fn(
        lambda seed: crops.random_box(shape, seed), seeds, fn_output_signature=tf.int32
    )


def test_random_boxes_as_drawn_by_torchvision_rules():
    # the rule with Python's own random numbers
    import math
    import random

    def box(height, width, rng):
        for _ in range(10):
            area = rng.uniform(0.08, 1) * height * width
            ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return rng.randint(0, height - h), rng.randint(0, width - w), h, w
        raise AssertionError("none fits")

    rng = random.Random(0)
    expected = np.array([box(375, 500, rng) for _ in range(4000)])
    drawn = boxes(tf.constant([375, 500])).numpy()
    assert (drawn[:, :2] >= 0).all() and (drawn[:, :2] + drawn[:, 2:] <= [375, 500]).all()
    # each mean within five standard errors, spreads within 5%
    error = expected.std(0) / np.sqrt(4000) * np.sqrt(2)
    assert (np.abs(drawn.mean(0) - expected.mean(0)) < 5 * error).all()
    np.testing.assert_allclose(drawn.std(0), expected.std(0), rtol=0.05)


@pytest.mark.parametrize(
    "shape, box",
    [([2, 1000], [0, 498, 2, 3]), ([1000, 3], [498, 0, 4, 3]), ([1, 1], [0, 0, 1, 1])],
)
def test_narrow_pictures_give_their_middle(shape, box):
    drawn = boxes(tf.constant(shape)).numpy()
    assert (drawn[:, 2:] >= 1).all() and (drawn[:, :2] + drawn[:, 2:] <= shape).all()
    assert (drawn == box).all(1).mean() > 0.5


def test_decoding_a_window_equals_cutting_it_out():
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype="uint8")).resize(
        (160, 120), 3
    )
    differences = []
    for mode in ("RGB", "L", "CMYK"):
        file = io.BytesIO()
        picture.convert(mode).save(file, "JPEG")
        whole = np.asarray(Image.open(file).convert("RGB"), "int64")
        for seed in range(20):
            top, left, rows, columns = crops.random_box([120, 160], [seed, 1]).numpy()
            window = crops.random_window(tf.constant(file.getvalue()), [seed, 1], 3).numpy()
            there = whole[top : top + rows, left : left + columns]
            assert window.shape == there.shape
            differences.append(np.abs(window - there))
    # the colour of the outermost columns is smoothed without their neighbours
    assert np.concatenate([d.ravel() for d in differences]).mean() < 0.05


@pytest.mark.parametrize("rows, ratio", [(47, 1), (30, 2), (12, 4), (7, 8)])
def test_large_windows_are_decoded_at_a_fraction(rows, ratio):
    coarse = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype="uint8")
    file = io.BytesIO()
    Image.fromarray(coarse).resize((160, 120), 3).save(file, "JPEG", quality=95)
    encoded = tf.constant(file.getvalue())
    whole = np.asarray(Image.open(file), "float64")
    seen = set()
    for seed in range(8):
        box = crops.random_box([120, 160], [seed, 1]).numpy()
        times = max(r for r in crops.RATIOS if r == 1 or min(box[2:]) // rows >= r)
        top, left, height, width = box // times
        window = crops.random_window(encoded, [seed, 1], 3, rows).numpy()
        # means over blocks of so many pixels
        means = whole.reshape(120 // times, times, 160 // times, times, 3).mean((1, 3))
        there = means[top : top + height, left : left + width]
        assert window.shape == there.shape
        assert np.abs(window - there).mean() < 1.5
        seen.add(times)
    assert ratio in seen


@pytest.mark.parametrize(
    "height, width, size", [(331, 97, 56), (20, 31, 97), (224, 224, 224), (1, 2, 17), (700, 64, 64)]
)
def test_resize_as_tensorflow(height, width, size):
    rng = np.random.default_rng(height)
    image = rng.integers(0, 256, (height, width, 3), dtype="uint8")
    expected = tf.image.resize(image, (size, size), "bicubic", antialias=True).numpy()
    resized = resize.resize_square(tf.constant(image), size).numpy()
    assert resized.shape == (size, size, 3)
    assert np.abs(resized - expected.clip(0, 255)).max() < 0.51  # rounded
    np.testing.assert_array_equal(resized, np.round(resized))


def test_shift_moves_by_at_most_its_pixels():
    image = tf.reshape(tf.range(1.0, 26.0), (5, 5, 1))
    padded = np.pad(image[..., 0], 2)
    seen = set()
    for number in range(200):
        moved = crops.shift(image, [number, 0], 2).numpy()[..., 0]
        places = [
            (r, c)
            for r in range(5)
            for c in range(5)
            if (padded[r : r + 5, c : c + 5] == moved).all()
        ]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) == 25


# Generated pictures


@pytest.mark.parametrize("multi_label", [False, True])
def test_generated_pictures(multi_label):
    options = {"size": 16, "multi_label": multi_label}
    source = generated_source(10, 40, **options)
    first, again = (list(source.examples().as_numpy_iterator()) for _ in range(2))
    labels = np.array([e["label"] for e in first])
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["image"], two["image"])
        assert one["image"].shape == (16, 16, 3) and one["image"].dtype == "uint8"
    assert len({e["image"].tobytes() for e in first}) == 40
    if multi_label:
        assert set(labels.sum(1).astype(int)) == {0, 1, 2} and labels.sum(0).min() > 0
    else:
        assert np.bincount(labels).tolist() == [4] * 10
    other = next(iter(generated_source(10, 40, offset=40, **options).examples()))
    assert other["image"].numpy().tobytes() not in {e["image"].tobytes() for e in first}


def test_generated_pictures_can_be_learnt():
    # each shape differs in its outline from the noise: colour classes by the mean of bright pixels
    def features(offset):
        source = generated_source(4, 200, size=16, offset=offset)
        examples = list(source.examples().as_numpy_iterator())
        images = np.stack([e["image"] for e in examples]).astype(float)
        saturation = images.max(-1) - images.min(-1)
        return (saturation > 120).mean((1, 2)), np.array([e["label"] for e in examples])

    area, labels = features(0)
    means = [area[labels == label].mean() for label in range(4)]
    assert max(means) > 1.5 * min(means)
