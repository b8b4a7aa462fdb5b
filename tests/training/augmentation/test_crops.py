"""Crops: drawn as torchvision draws them, decoded and resized as the libraries do it."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from training.augmentation import crops, resize


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
def test_narrow_images_give_their_middle(shape, box):
    drawn = boxes(tf.constant(shape)).numpy()
    assert (drawn[:, 2:] >= 1).all() and (drawn[:, :2] + drawn[:, 2:] <= shape).all()
    assert (drawn == box).all(1).mean() > 0.5


def test_decoding_a_window_equals_cutting_it_out():
    rng = np.random.default_rng(0)
    drawn = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype="uint8")).resize((160, 120), 3)
    differences = []
    for mode in ("RGB", "L", "CMYK"):
        file = io.BytesIO()
        drawn.convert(mode).save(file, "JPEG")
        whole = np.asarray(Image.open(file).convert("RGB"), "int64")
        for seed in range(20):
            top, left, rows, columns = crops.random_box([120, 160], [seed, 1]).numpy()
            window, box = crops.random_window(tf.constant(file.getvalue()), [seed, 1], 3)
            np.testing.assert_array_equal(box, [top, left, rows, columns])
            there = whole[top : top + rows, left : left + columns]
            assert window.shape == there.shape
            differences.append(np.abs(window.numpy() - there))
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
        window, shown = crops.random_window(encoded, [seed, 1], 3, rows)
        np.testing.assert_array_equal(shown, box // times * times)
        # means over blocks of so many pixels
        means = whole.reshape(120 // times, times, 160 // times, times, 3).mean((1, 3))
        there = means[top : top + height, left : left + width]
        assert window.shape == there.shape
        assert np.abs(window.numpy() - there).mean() < 1.5
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
        moved = crops.shift(image, [number, 0], 2)[0].numpy()[..., 0]
        places = [
            (r, c)
            for r in range(5)
            for c in range(5)
            if (padded[r : r + 5, c : c + 5] == moved).all()
        ]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) == 25
