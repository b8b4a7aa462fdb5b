"""Images on a canvas: each pixel shows what the placement says, and boxes and masks follow."""

import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.images.canvas import fitted_sides, on_canvas, turned
from training.augmentation.canvas import evaluation_canvas, training_canvas

FILL = (-50.0, -60.0, -70.0)


def ramp(rows, columns):
    """An image whose pixels say where they are: x, y and 1."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    return np.stack([x, y, np.ones_like(x)], axis=-1).astype("float32")


def drawn(image, seed, size=64, **settings):
    return training_canvas(
        tf.constant(image), tf.constant([7, seed]), size=size, fill=FILL, **settings
    )


def inverse(placement, x, y):
    """Where in the image a point of the canvas comes from, step by step."""
    for step in reversed(placement.steps.numpy().astype("float64")):
        x, y = np.linalg.solve(step[:, :2], np.array([x, y]) - step[:, 2])
    return x, y


def check(image, canvas, placement):
    rows, columns = image.shape[:2]
    canvas, inside = np.asarray(canvas), 0
    for i in range(0, canvas.shape[0], 3):
        for j in range(0, canvas.shape[1], 3):
            x, y = inverse(placement, j + 0.5, i + 0.5)
            if not (0 <= x <= columns and 0 <= y <= rows):
                np.testing.assert_allclose(canvas[i, j], FILL, atol=1e-3)
            elif 4 < x < columns - 4 and 4 < y < rows - 4:  # antialiasing is one-sided at edges
                np.testing.assert_allclose(canvas[i, j], (x, y, 1), atol=0.15)
                inside += 1
    return inside


@pytest.mark.parametrize("sides", [(48, 100), (91, 30), (64, 64), (20, 17)])
@pytest.mark.parametrize("keep_aspect", [True, False])
def test_evaluation_shows_all_of_an_image(sides, keep_aspect):
    image = ramp(*sides)
    settings = {"size": 64, "fill": FILL, "keep_aspect": keep_aspect}
    canvas, placement = evaluation_canvas(tf.constant(image), **settings)
    assert check(image, canvas, placement) > 10
    whole = np.array([[0, 0, sides[1], sides[0]]], "float32")
    boxes, visible = placement.boxes(whole)
    fitted = fitted_sides(tf.constant(sides), 64, keep_aspect).numpy()
    np.testing.assert_allclose(boxes, [[0, 0, fitted[1], fitted[0]]], atol=1e-3)
    np.testing.assert_allclose(visible, [1.0], atol=1e-4)
    assert max(fitted) == 64


@pytest.mark.parametrize("seed", range(12))
def test_training_moves_all_by_one_draw(seed):
    image = ramp(50, 80)
    canvas, placement = drawn(image, seed, scales=(0.5, 2.0))
    assert check(image, canvas, placement) > 5
    again, _ = drawn(image, seed, scales=(0.5, 2.0))
    np.testing.assert_array_equal(canvas, again)
    # a mask follows pixel by pixel: its classes are columns of the image
    mask = np.tile((np.arange(80) // 10).astype("uint8"), (50, 1))
    moved = placement.mask(mask, fill=255).numpy()
    for i in range(1, 64, 5):
        for j in range(1, 64, 5):
            x, y = inverse(placement, j + 0.5, i + 0.5)
            if 0 < x < 80 and 0 < y < 50 and min(x % 10, 10 - x % 10) > 0.1:
                assert moved[i, j] == int(x) // 10
            elif not (-0.1 < x < 80.1 and -0.1 < y < 50.1):
                assert moved[i, j] == 255


def test_draws_are_spread():
    image = ramp(50, 80)
    steps = [drawn(image, seed, scales=(0.5, 2.0))[1] for seed in range(40)]
    scales = [float(step.steps[0, 0, 0]) for step in steps]
    assert min(scales) < 0.6 and max(scales) > 1.3  # of 64 pixels for 80, 0.5 to 2 times
    mirrored = sum(bool(step.mirrored) for step in steps)
    assert 8 < mirrored < 32
    assert not any(bool(drawn(image, seed, flip=0.0)[1].mirrored) for seed in range(9))


def test_what_is_cut_off_is_hidden():
    image = ramp(64, 64)
    for seed in range(6):
        _, placement = drawn(image, seed, scales=(2.0, 2.0), flip=0.0)
        boxes, visible = placement.boxes(np.array([[0, 0, 64, 64], [0, 0, 0, 0]], "float32"))
        np.testing.assert_allclose(boxes[0], [0, 0, 64, 64], atol=1e-3)
        np.testing.assert_allclose(visible, [0.25, 0], atol=0.02)


def test_the_fill_becomes_zero_when_it_is_the_mean():
    canvas = on_canvas(ramp(10, 20), 32, tf.constant([16, 32]), fill=(3.0, 4.0, 5.0))
    assert canvas.shape == (32, 32, 3)
    np.testing.assert_array_equal(canvas[16:], np.full((16, 32, 3), (3.0, 4.0, 5.0)))


@pytest.mark.parametrize("sides", [(48, 100), (91, 30), (20, 17)])
@pytest.mark.parametrize("size", [(48, 80), (80, 48)])
@pytest.mark.parametrize("keep_aspect", [True, False])
def test_canvases_of_two_sides(sides, size, keep_aspect):
    image = ramp(*sides)
    settings = {"size": size, "fill": FILL, "keep_aspect": keep_aspect}
    canvas, placement = evaluation_canvas(tf.constant(image), **settings)
    assert canvas.shape == (*size, 3) and check(image, canvas, placement) > 10
    scale = min(size[0] / sides[0], size[1] / sides[1])
    fitted = [round(side * scale) for side in sides] if keep_aspect else list(size)
    np.testing.assert_array_equal(fitted_sides(tf.constant(sides), size, keep_aspect), fitted)
    for seed in range(4):
        canvas, placement = drawn(image, seed, size, keep_aspect=keep_aspect, scales=(0.5, 2.0))
        assert canvas.shape == (*size, 3) and check(image, canvas, placement) > 3


def test_a_canvas_lies_or_stands_as_the_image():
    for sides, wanted in (((3, 4), (48, 80)), ((4, 3), (80, 48)), ((4, 4), (48, 80))):
        np.testing.assert_array_equal(turned((48, 80), tf.constant(sides)), wanted)


def test_the_shorter_side_is_drawn():
    """As 3x does: the fit to the canvas, times one of the lengths over the shorter side."""
    factors, image = (32 / 48, 48 / 48, 64 / 48), ramp(60, 80)
    found = set()
    for seed in range(16):
        canvas, placement = drawn(image, seed, (48, 80), factors=factors)
        assert check(image, canvas, placement) > 3
        found.add(round(float(placement.steps[0, 1, 1]) * 60))
    assert found == {32, 48, 64}


@pytest.mark.parametrize("sides", [(50, 80), (80, 50), (30, 200)])
def test_a_part_of_an_image_that_fits_a_larger_canvas(sides):
    """As Semantic FPN sees it: shorter side 48, longer 96 at most, times a factor; 32x32 of it."""
    image = ramp(*sides)
    for seed in range(6):
        canvas, placement = drawn(image, seed, 32, fit=(48, 96), scales=(0.5, 2.0), flip=0.0)
        assert canvas.shape == (32, 32, 3) and check(image, canvas, placement) > 3
        scale = float(placement.steps[0, 0, 0]) / min(48 / min(sides), 96 / max(sides))
        assert 0.45 < scale < 2.05
