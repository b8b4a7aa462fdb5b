"""Masks on the grids of boxes and keypoints: where a placement puts them, sample by sample."""

import numpy as np
import pytest
import tensorflow as tf

from training.augmentation import affine
from training.augmentation.canvas import evaluation_canvas, training_canvas
from training.augmentation.placement import Placement, placed, resized, unmoved
from training.data.sources.composed import compose
from training.data.sources.composed_shapes import masks_of
from training.evaluators.shapes import pasted

SIDES = [(48, 100), (91, 30)]
FILL = (0.0, 0.0, 0.0)
M = 12


def source_of(placement, x, y):
    """Where points of the result come from, and which are shown, step by step."""
    steps, sizes = placement.steps.numpy().astype("float64"), placement.sizes.numpy()
    shown = np.ones(np.broadcast(x, y).shape, bool)
    for step, (rows, columns) in zip(steps[::-1], sizes[::-1], strict=True):
        shown &= (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
        x, y = (x - step[0, 2]) / step[0, 0], (y - step[1, 2]) / step[1, 1]
    return x, y, shown


def expected_mask(placement, mask, box, moved, samples=40):
    """The mean of many points of each place of the moved box, by the mask as it was given."""
    steps = (np.arange(M * samples) + 0.5) / (M * samples)
    x = moved[0] + steps * (moved[2] - moved[0])
    y = (moved[1] + steps * (moved[3] - moved[1]))[:, None]
    x, y, _ = source_of(placement, x, y)
    column = np.floor((x - box[0]) / (box[2] - box[0]) * M).astype(int).clip(0, M - 1)
    row = np.floor((y - box[1]) / (box[3] - box[1]) * M).astype(int).clip(0, M - 1)
    values = mask[row, column].astype("float64")
    return values.reshape(M, samples, M, samples).mean(axis=(1, 3))


def objects(rng, rows, columns, count=6):
    corners = rng.uniform(-0.1, 0.9, (count, 2)) * (columns, rows)
    ends = corners + rng.uniform(0.1, 0.6, (count, 2)) * (columns, rows)
    boxes = np.hstack([corners, ends]).clip(0, (columns, rows) * 2).astype("float32")
    masks = rng.integers(0, 256, (count, M, M)).astype("uint8")
    boxes[-1], masks[-1] = 0, 0  # what only fills up
    return boxes, masks


def check(placement, boxes, masks):
    moved, visible = (x.numpy() for x in placement.boxes(boxes))
    found = placement.box_masks(masks, boxes)
    assert found.dtype == tf.uint8 and found.shape == masks.shape
    for n, mask in enumerate(found.numpy().astype("float64")):
        if visible[n] == 0:
            assert not mask.any()
        else:
            expected = expected_mask(placement, masks[n], boxes[n], moved[n])
            # each place by 40 x 40 samples, off by one of them at each of its borders
            assert np.abs(mask - expected).max() < 255 * 2 / 40 + 1
            assert np.abs(mask - expected).mean() < 3
    return visible


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("keep_aspect", [True, False])
def test_masks_in_evaluation(sides, keep_aspect):
    boxes, masks = objects(np.random.default_rng(1), *sides)
    image = tf.zeros((*sides, 3))
    _, placement = evaluation_canvas(image, size=(64, 80), fill=FILL, keep_aspect=keep_aspect)
    visible = check(placement, boxes, masks)
    np.testing.assert_array_equal(placement.box_masks(masks, boxes)[:-1], masks[:-1])
    assert (visible[:-1] > 0.999).all()


@pytest.mark.parametrize("sides", SIDES)
def test_masks_in_training(sides):
    """Scaled, cut and mirrored by the draws of 20 seeds."""
    cut = mirrored = hidden = 0
    for seed in range(20):
        boxes, masks = objects(np.random.default_rng(seed), *sides)
        _, placement = training_canvas(
            tf.zeros((*sides, 3)),
            tf.constant([3, seed]),
            size=(64, 40),
            fill=FILL,
            scales=(0.5, 3.0),
        )
        visible = check(placement, boxes, masks)[:-1]
        cut += ((visible > 0) & (visible < 0.9)).sum()
        hidden += (visible == 0).sum()
        mirrored += bool(placement.mirrored)
    assert cut > 15 and hidden > 5 and 4 < mirrored < 16


def test_masks_of_a_scene_are_where_its_pixels_are():
    """Pasted on the canvas they cover what the pixels of the image do."""
    shares = []
    for seed in range(8):
        made = compose("train", seed)
        masks, _, _ = masks_of(made, 112)
        settings = {"size": (160, 200), "fill": FILL, "scales": (0.6, 1.8), "keep_aspect": False}
        seeds = tf.constant([9, seed])
        _, placement = training_canvas(tf.constant(made.image), seeds, **settings)
        moved, visible = placement.boxes(made.boxes)
        found = placement.box_masks(masks, made.boxes).numpy() / 255
        pixels = placement.mask([made.owner == n for n in range(len(masks))]).numpy()
        for n in np.flatnonzero(visible.numpy() > 0.3):
            there = pasted(found[n], moved[n].numpy(), (160, 200))
            shares.append((there & pixels[n]).sum() / (there | pixels[n]).sum())
    assert len(shares) > 25 and min(shares) > 0.85 and np.mean(shares) > 0.98


def test_masks_by_hand():
    mask = np.zeros((1, 4, 4), "uint8")
    mask[0, :, 0], mask[0, 0, 1] = 255, 100
    box = [[10, 10, 18, 18]]
    window = resized(tf.constant([0, 0, 30, 12]), (60, 24))  # twice as large, one place is left
    np.testing.assert_array_equal(window.box_masks(mask, box)[0], np.full((4, 4), 255))
    window = resized(tf.constant([8, 0, 8, 14]), (8, 14))  # three rows and two columns of places
    expected = [[255, 255, 100, 100], [255, 255, 33, 33], [255, 255, 0, 0], [255, 255, 0, 0]]
    np.testing.assert_array_equal(window.box_masks(mask, box)[0], expected)
    mirror = window.then(placed(affine.mirror(14)[None], (8, 14)))
    np.testing.assert_array_equal(mirror.box_masks(mask, box)[0], np.array(expected)[:, ::-1])
    np.testing.assert_array_equal(unmoved().box_masks(mask, box), mask)
    outside = resized(tf.constant([0, 0, 5, 5]), (5, 5))
    assert not outside.box_masks(mask, box).numpy().any()
    assert window.box_masks(mask[:0], np.zeros((0, 4), "float32")).shape == (0, 4, 4)


def test_masks_of_a_turned_image():
    turn = affine.motion(tf.constant([[30.0, 0, 0, 0, 0]]), (20, 20))
    with pytest.raises(tf.errors.InvalidArgumentError, match="sheared or turned"):
        placed(turn, (20, 20)).box_masks(np.zeros((1, 4, 4), "uint8"), [[1.0, 1, 9, 9]])


def test_masks_in_a_dataset():
    boxes, masks = objects(np.random.default_rng(0), 48, 100)

    def prepare(seed):
        _, placement = training_canvas(
            tf.zeros((48, 100, 3)), seed, size=32, fill=FILL, scales=(1.0, 2.0)
        )
        return placement.box_masks(masks, boxes), placement

    seeds = tf.data.Dataset.from_tensor_slices([[0, i] for i in range(6)])
    dataset = seeds.map(prepare, num_parallel_calls=2)
    assert dataset.element_spec[0].shape == masks.shape
    for moved, (steps, sizes) in dataset:
        again = Placement(steps, sizes).box_masks(masks, boxes)
        assert np.abs(moved.numpy().astype(int) - again.numpy()).max() <= 1


@pytest.mark.parametrize("sides", SIDES)
def test_keypoints_in_training(sides):
    """Each is where its pixel went; those that do not show are not labelled, sides change."""
    shown_in_all = mirrored = 0
    pairs, swapped = ((0, 1), (2, 3)), [1, 0, 3, 2, 4]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        points = (rng.random((3, 5, 2)) * sides[::-1]).astype("float32")
        visible = rng.integers(0, 3, (3, 5))
        _, placement = training_canvas(
            tf.zeros((*sides, 3)),
            tf.constant([5, seed]),
            size=(64, 40),
            fill=FILL,
            scales=(0.5, 3.0),
        )
        moved, seen = (x.numpy() for x in placement.keypoints(points, visible, pairs))
        order = swapped if placement.mirrored else range(5)
        x, y, shown = source_of(placement, *moved.transpose(2, 0, 1).astype("float64"))
        np.testing.assert_allclose(np.stack([x, y], -1), points[:, order], atol=2e-3)
        np.testing.assert_array_equal(seen, np.where(shown, visible[:, order], 0))
        shown_in_all += shown.sum()
        mirrored += bool(placement.mirrored)
    assert 60 < shown_in_all < 290 and 4 < mirrored < 16
