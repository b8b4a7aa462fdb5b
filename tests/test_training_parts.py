"""Data, augmentation, schedule, optimizer and picture files of the training."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from training.augment import flip_and_shift
from training.data import fashion_mnist
from training.data.batches import evaluation_batches, training_batches
from training.images import fit_image, open_image
from training.logs import duration
from training.schedules import WarmupCosine


@pytest.fixture(scope="module")
def splits():
    return fashion_mnist.load()


# Data


def test_data(splits):
    training, held_out = splits
    for split, count in ((training, 5000), (held_out, 1000)):
        assert split.images.shape == (count, 28, 28, 1) and split.images.dtype == np.uint8
        assert split.labels.shape == (count,)
        np.testing.assert_array_equal(np.bincount(split.labels), [count // 10] * 10)
        assert split.images.min() == 0 and split.images.max() == 255
    # light on black, as the published mean of 72.9 of 255 says
    assert abs(training.images.mean() - 72.94) < 1
    assert not {x.tobytes() for x in training.images} & {x.tobytes() for x in held_out.images}


def test_labels_mean_what_the_names_say(splits):
    """Trousers are tall and narrow, sneakers low and wide, bags fill the frame."""
    training, _ = splits
    rows = {
        name: (training.images[training.labels == i, :, :, 0] > 25).any(axis=2).sum(axis=1).mean()
        for i, name in enumerate(fashion_mnist.CLASS_NAMES)
    }
    columns = {
        name: (training.images[training.labels == i, :, :, 0] > 25).any(axis=1).sum(axis=1).mean()
        for i, name in enumerate(fashion_mnist.CLASS_NAMES)
    }
    assert rows["Trouser"] > 25 and columns["Trouser"] < 15
    assert rows["Sneaker"] < 14 and columns["Sneaker"] > 25
    assert rows["Ankle boot"] > rows["Sandal"] > rows["Sneaker"]
    assert columns["Dress"] < columns["Shirt"]


def test_licence_lies_beside_the_data():
    text = (fashion_mnist.FILE.parent / "LICENSE-fashion-mnist.txt").read_text("utf-8")
    assert "MIT" in text and "2017 Zalando SE" in text


def test_first_of_each_class(splits):
    _, held_out = splits
    chosen = fashion_mnist.first_of_each_class(held_out, 23)
    assert len(set(chosen.tolist())) == 23
    np.testing.assert_array_equal(held_out.labels[chosen], [*range(10), *range(10), 0, 1, 2])
    for label in range(10):
        first = int(np.flatnonzero(held_out.labels == label)[0])
        assert chosen[label] == first


# Batches


def numbered(count):
    """Images whose pixels and labels tell their index."""
    images = np.arange(count, dtype="uint8")[:, None, None, None] * np.ones((1, 6, 5, 1), "uint8")
    return images, np.arange(count) % 7


def indices(batches):
    """The indices of `numbered` images, without augmentation, in one line."""
    return [int(i) for images, _ in batches for i in images[:, 0, 0, 0].numpy()]


def test_batches_go_through_all_images_every_epoch():
    images, labels = numbered(22)
    batches = training_batches(images, labels, batch_size=11, epochs=3, classes=7, seed=5)
    order = np.array(indices(batches)).reshape(3, 22)
    for epoch in order:
        assert sorted(epoch) == list(range(22))
    assert (order[0] != order[1]).any() and (order[1] != order[2]).any()
    for batch, one_hot in batches:
        assert batch.dtype == one_hot.dtype == tf.float32
        index = batch[:, 0, 0, 0].numpy().astype(int)
        np.testing.assert_array_equal(one_hot, np.eye(7)[index % 7])


def test_batches_leave_the_remainder_out():
    images, labels = numbered(10)
    batches = training_batches(images, labels, batch_size=4, epochs=2, classes=7, seed=5)
    assert [len(x) for x, _ in batches] == [4] * 4
    order = np.array(indices(batches)).reshape(2, 8)
    assert set(order[0]) != set(order[1])


def test_order_follows_from_the_seed_alone():
    images, labels = numbered(22)

    def order(seed, **kwargs):
        arguments = {"batch_size": 11, "epochs": 2, **kwargs}
        return indices(training_batches(images, labels, classes=7, seed=seed, **arguments))

    assert order(3) == order(3) == order(3, batch_size=2)
    assert order(3, epochs=3)[:44] == order(3)
    assert order(3) != order(4)


def test_augmentation_follows_from_seed_epoch_and_index():
    """Whatever the batches: the same image in the same epoch looks the same."""
    images = np.random.default_rng(0).integers(1, 256, (22, 6, 5, 1), dtype="uint8")
    labels = np.arange(22)  # tell the images apart

    def seen(seed, batch_size):
        batches = training_batches(
            images, labels, batch_size=batch_size, epochs=2, classes=22, seed=seed,
            augment=flip_and_shift,
        )  # fmt: skip
        pictures = [
            (int(np.argmax(one_hot)), picture.numpy().tobytes())
            for batch, one_hots in batches
            for picture, one_hot in zip(batch, one_hots, strict=True)
        ]
        return dict(pictures[:22]), dict(pictures[22:])

    first = seen(3, 11)
    assert len(first[0]) == len(first[1]) == 22
    assert first == seen(3, 2) == seen(3, 22)
    other = seen(4, 11)
    # of 50 ways to look, two draws take the same one rarely
    assert sum(first[0][i] != first[1][i] for i in range(22)) > 15
    assert sum(first[0][i] != other[0][i] for i in range(22)) > 15


def test_evaluation_batches_keep_the_order():
    images, labels = numbered(10)
    batches = list(evaluation_batches(images, labels, batch_size=4, classes=7))
    assert [len(x) for x, _ in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), images)
    one_hot = np.concatenate([y for _, y in batches])
    np.testing.assert_array_equal(one_hot.argmax(axis=1), labels)


@pytest.mark.parametrize("batch_size", [0, 11])
def test_bad_batch_size(batch_size):
    with pytest.raises(ValueError, match="between 1 and the 10 images"):
        training_batches(*numbered(10), batch_size=batch_size, epochs=1, classes=7, seed=0)


# Augmentation


def shifted(image, down, right):
    """`np.roll` with black instead of what comes in again."""
    height, width, _ = image.shape
    out = np.zeros_like(image)
    rows = slice(max(down, 0), height + min(down, 0))
    columns = slice(max(right, 0), width + min(right, 0))
    out[rows, columns] = np.roll(image, (down, right), axis=(0, 1))[rows, columns]
    return out


def test_flip_and_shift_makes_every_case_equally_often():
    image = np.random.default_rng(0).integers(1, 256, (7, 5, 3), dtype="uint8")
    cases = {
        shifted(source, down, right).tobytes(): (flip, down, right)
        for flip, source in enumerate((image, image[:, ::-1]))
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    }
    assert len(cases) == 18
    augment = tf.function(lambda seed: flip_and_shift(image, seed, pixels=1))
    draws = [augment(tf.constant([3, i])) for i in range(540)]
    assert draws[0].shape == image.shape and draws[0].dtype == tf.uint8
    found = np.array([cases[draw.numpy().tobytes()] for draw in draws])  # KeyError: another case
    # 5 standard deviations of a binomial around the expected counts
    for flip in (0, 1):
        assert abs((found[:, 0] == flip).sum() - 270) < 5 * math.sqrt(540 / 4)
    for axis in (1, 2):
        for shift in (-1, 0, 1):
            assert abs((found[:, axis] == shift).sum() - 180) < 5 * math.sqrt(540 * 2 / 9)


def test_flip_and_shift_repeats():
    image = np.random.default_rng(0).integers(1, 256, (7, 5, 1), dtype="uint8")
    for seed in ([0, 0], [5, -7]):
        np.testing.assert_array_equal(flip_and_shift(image, seed), flip_and_shift(image, seed))


# Schedule


def test_schedule_by_hand():
    schedule = WarmupCosine(0.8, steps=16, warmup_steps=4, warmup_rate=0.2, floor=0.1)
    rates = [float(schedule(step)) for step in range(20)]
    np.testing.assert_allclose(rates[:4], [0.2, 0.35, 0.5, 0.65], rtol=1e-6)
    root = math.cos(math.pi / 4)
    expected = [0.1 + 0.35 * (1 + root), 0.45, 0.1 + 0.35 * (1 - root), 0.1]
    np.testing.assert_allclose(rates[4:17:4], expected, rtol=1e-6)
    np.testing.assert_allclose(rates[16:], 0.1, rtol=1e-6)
    assert float(WarmupCosine(0.8, steps=2)(0)) == pytest.approx(0.8)
    stairs = WarmupCosine(0.8, steps=16, warmup_steps=4, warmup_rate=0.2, floor=0.1, every=4)
    np.testing.assert_allclose([stairs(s) for s in range(16)], np.repeat(rates[:16:4], 4))


def test_schedule_round_trip():
    schedule = WarmupCosine(0.8, steps=12, warmup_steps=4, floor=0.1, every=2)
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert [float(again(s)) for s in range(12)] == [float(schedule(s)) for s in range(12)]


@pytest.mark.parametrize("arguments", [{"warmup_steps": -1}, {"warmup_steps": 12}, {"every": 0}])
def test_bad_schedule(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}`"):
        WarmupCosine(0.8, steps=12, **arguments)


# Picture files


def test_pictures_keep_their_proportions(tmp_path):
    picture = np.full((10, 20), 200, "uint8")
    Image.fromarray(picture).save(tmp_path / "wide.png")
    frame = fit_image(open_image(tmp_path / "wide.png"), 28, 28, 1)
    assert frame.shape == (28, 28, 1) and frame.dtype == np.float32
    np.testing.assert_array_equal(frame[7:21], 200)
    assert not frame[:7].any() and not frame[21:].any()
    assert fit_image(open_image(tmp_path / "wide.png"), 9, 12, 3).shape == (9, 12, 3)


def test_a_picture_of_the_right_size_is_untouched(tmp_path, splits):
    Image.fromarray(splits[1].images[7, ..., 0]).save(tmp_path / "shirt.png")
    frame = fit_image(open_image(tmp_path / "shirt.png"), 28, 28, 1)
    np.testing.assert_array_equal(frame, splits[1].images[7])


def test_negative_transparency_16_bit_and_turned(tmp_path):
    pixels = np.zeros((4, 4, 4), "uint8")
    pixels[:2] = [255, 255, 255, 255]  # white above, transparent below
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    np.testing.assert_array_equal(fit_image(image, 4, 4, 1)[:, 0, 0], [255, 255, 0, 0])
    np.testing.assert_array_equal(fit_image(image, 4, 4, 1, invert=True)[:, 0, 0], [0, 0, 0, 0])

    deep = np.full((4, 4), 65535, "uint16")
    deep[:2] = 257 * 100
    Image.fromarray(deep).save(tmp_path / "deep.png")
    frame = fit_image(open_image(tmp_path / "deep.png"), 4, 4, 1)
    np.testing.assert_array_equal(frame[:, 0, 0], [100, 100, 255, 255])

    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn by 90 degrees
    Image.fromarray(np.zeros((4, 8), "uint8")).save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (4, 8)


def test_files_that_are_no_pictures(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture")
    Image.fromarray(np.arange(10000, dtype="uint8").reshape(100, 100)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    for name, said in (
        ("empty.png", "is empty"),
        ("text.png", "is not a picture"),
        ("cut.png", "cannot be read as a picture"),
        ("none.png", "does not exist"),
        (".", "is a folder"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            open_image(tmp_path / name)
        assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (7265, "2 h 1 min")],
)
def test_duration(seconds, said):
    assert duration(seconds) == said
