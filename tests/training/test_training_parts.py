"""Data, augmentation, schedule, optimizer and picture files of the training."""

import math

import keras
import numpy as np
import pytest
from PIL import Image

from training.data.sources import fashion_mnist
from training.engine.logs import duration
from training.prediction.photos import fit_image, open_image
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
