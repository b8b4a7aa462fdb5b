"""Masks on the grids of boxes and run lengths, against samples, pixels and pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from training.data.sources.instance_masks import (
    box_mask,
    decoded,
    encoded,
    lengths_of,
    of_pixels,
    run_lengths,
)

SIZE = (37, 53)


def inside(polygon, x, y):
    """Whether points lie in a polygon: how many of its sides are to their right."""
    corners = polygon.reshape(-1, 2)
    crossings = np.zeros(np.broadcast(x, y).shape, int)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            spans = (y >= min(y0, y1)) & (y < max(y0, y1))
            crossings += spans & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return crossings % 2 == 1


def star(rng, points=7):
    """A polygon around the middle of an image."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    far = rng.uniform(6, 18, points)
    middle = np.array(SIZE[::-1]) / 2
    corners = middle + far[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return corners.ravel().round(2)


def bounds(parts):
    corners = np.concatenate(parts).reshape(-1, 2)
    return np.array([*corners.min(0), *corners.max(0)], "float32")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("parts", [1, 2])
def test_polygons_on_the_grid_of_a_box(seed, parts):
    rng, side, fine = np.random.default_rng(seed), 14, 12
    polygons = tuple(star(rng) for _ in range(parts))
    box = bounds(polygons)
    mask = box_mask(polygons, SIZE, box, side)
    assert mask.shape == (side, side) and mask.dtype == np.uint8
    steps = (np.arange(side * fine) + 0.5) / (side * fine)
    x, y = box[0] + steps * (box[2] - box[0]), (box[1] + steps * (box[3] - box[1]))[:, None]
    there = np.any([inside(polygon, x, y) for polygon in polygons], axis=0)
    share = there.reshape(side, fine, side, fine).mean(axis=(1, 3))
    # what pycocotools draws is off by half a fine pixel along the sides
    assert np.abs(mask / 255 - share).max() < 0.4 and np.abs(mask / 255 - share).mean() < 0.03
    assert np.all(mask[share == 1] > 200) and np.all(mask[share == 0] < 100)


@pytest.mark.parametrize("side", [5, 28, 112])
def test_a_rectangle_is_exact(side):
    """Whatever its box is: all of it, or half."""
    box = (3.25, 4.5, 20.25, 19.0)
    x0, y0, x1, y1 = box
    whole = np.array([x0, y0, x1, y0, x1, y1, x0, y1])
    assert (box_mask((whole,), SIZE, box, side) == 255).all()
    middle = (y0 + y1) / 2
    upper = np.array([x0, y0, x1, y0, x1, middle, x0, middle])
    half = box_mask((upper,), SIZE, box, side)
    assert (half[: side // 2] == 255).all() and (half[(side + 1) // 2 :] == 0).all()


@pytest.mark.parametrize("box", [(5, 3, 40, 30), (5.25, 3.7, 40.4, 30.01), (0, 0, 53, 37)])
@pytest.mark.parametrize("side", [7, 28, 112])
def test_pixels_on_the_grid_of_a_box(box, side):
    """Against sums over every pixel, one at a time."""
    pixels = np.random.default_rng(side).random(SIZE) < 0.5
    mask = of_pixels(pixels, box, side)
    width, height = (box[2] - box[0]) / side, (box[3] - box[1]) / side
    for i, j in np.random.default_rng(0).integers(0, side, (40, 2)):
        left, top = box[0] + j * width, box[1] + i * height
        covered = 0.0
        for row in range(int(top), min(int(top + height) + 1, SIZE[0])):
            for column in range(int(left), min(int(left + width) + 1, SIZE[1])):
                down = min(row + 1, top + height) - max(row, top)
                across = min(column + 1, left + width) - max(column, left)
                covered += pixels[row, column] * max(down, 0) * max(across, 0)
        assert abs(mask[i, j] - 255 * covered / (width * height)) < 0.51
    np.testing.assert_array_equal(box_mask(encoded(pixels), SIZE, box, side), mask)


def test_whole_numbers_are_rounded_as_such():
    """A half is rounded up, also after sums whose order a library chooses."""
    pixels = np.zeros((6, 10), bool)
    pixels[:, ::2] = True
    assert (of_pixels(pixels, (0, 0, 10, 6), 5) == 128).all()  # 127.5
    pixels[:] = True
    assert (of_pixels(pixels, (1, 2, 8, 5), 112) == 255).all()


def test_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(3)
    pixels = rng.random(SIZE) < 0.3
    assert run_lengths(encoded(pixels), SIZE) == encoded(pixels)
    np.testing.assert_array_equal(decoded(encoded(pixels), SIZE), pixels)
    parts = (star(rng), star(rng))
    expected = coco_mask.merge(coco_mask.frPyObjects([list(part) for part in parts], *SIZE))
    assert run_lengths(parts, SIZE) == expected["counts"]


@pytest.mark.parametrize("density", [0, 0.02, 0.5, 1])
@pytest.mark.parametrize("size", [SIZE, (1, 1), (700, 900)])
def test_lengths(density, size):
    pixels = np.random.default_rng(5).random(size) < density
    flat = pixels.T.ravel()  # column by column, of zeros first
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff([0, *changes, flat.size])
    expected = [0, *lengths] if flat[0] else lengths
    np.testing.assert_array_equal(lengths_of(encoded(pixels)), expected)


@pytest.mark.parametrize("counts", [b"", b"o", b"0o", b"\n0", b"p", b"oooooooo0", b"0 0", b"\xff"])
def test_damaged_run_lengths(counts):
    assert lengths_of(counts) is None


def test_points_far_outside_take_no_memory():
    """Beside what the image shows they make no difference."""
    far = np.array([-1e15, -1e15, 1e15, -1e15, 1e15, 1e15, -1e15, 1e15])
    assert decoded(run_lengths((far,), SIZE), SIZE).all()
    assert (box_mask((far,), SIZE, (1, 2, 30, 20), 7) == 255).all()
