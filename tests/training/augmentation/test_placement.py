"""Placements by hand, drawn, in datasets and for clips."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.augmented import SCALE, as_tensor, each, photo, seeds
from tests.support.transforms import MOVES, chain, crop, jpeg
from training import augmentation
from training.augmentation import affine
from training.augmentation.placement import Placement, placed, resized, unmoved

PLACEMENT = Placement(tf.float32, tf.int32)
IDS = tf.reshape(tf.range(1.0, 1 + 13 * 17), (13, 17, 1))
CROP = resized(tf.constant([10, 20, 30, 40]), (60, 80))  # twice as large


def test_boxes_by_hand():
    boxes = [
        [25, 15, 35, 30],  # inside
        [10, 10, 30, 40],  # half of it left of the window
        [55, 35, 65, 45],  # over a corner
        [0, 0, 20, 100],  # outside, up to the edge
        [70, 50, 90, 55],  # outside
        [0, 0, 0, 0],  # no box
    ]
    moved, visible = CROP.boxes(boxes)
    expected = [[10, 10, 30, 40], [0, 0, 20, 60], [70, 50, 80, 60], [0] * 4, [0] * 4, [0] * 4]
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    np.testing.assert_allclose(visible, [1, 0.5, 0.25, 0, 0, 0], atol=1e-6)
    whole, share = CROP.boxes(boxes, clip=False)
    np.testing.assert_allclose(whole[1], [-20, 0, 20, 60], atol=1e-4)
    np.testing.assert_array_equal(share, visible)
    mirrored, _ = CROP.then(placed(affine.mirror(80)[None], (60, 80))).boxes(boxes)
    np.testing.assert_allclose(mirrored[0], [50, 10, 70, 40], atol=1e-4)


def test_what_was_cut_off_stays_hidden():
    """A box left of the window does not come into sight where the gap of a shift is."""
    right = placed(affine.stretch(tf.ones(2), tf.constant([30.0, 0.0]))[None], (60, 80))
    placement = CROP.then(right)
    box, visible = placement.boxes([[10, 12, 19, 18], [20, 12, 25, 18]])
    np.testing.assert_allclose(box, [[0, 0, 0, 0], [30, 4, 40, 16]], atol=1e-4)
    np.testing.assert_allclose(visible, [0, 1], atol=1e-6)
    points, shown = placement.points([[15, 15], [22, 15]])
    np.testing.assert_allclose(points, [[20, 10], [34, 10]], atol=1e-4)
    np.testing.assert_array_equal(shown, [False, True])
    mask = placement.mask(np.ones((50, 70), "bool"))
    assert not mask[:, :30].numpy().any() and mask[:, 30:].numpy().all()


@pytest.mark.parametrize("flips", [0, 1, 2])
def test_keypoints_change_sides(flips):
    placement = CROP
    for _ in range(flips):
        placement = placement.then(placed(affine.mirror(80)[None], (60, 80)))
    # nose, left and right eye, left and right hand, of two people
    points = np.array([[[40, 20], [42, 18], [38, 18], [61, 30], [30, 30]]] * 2, "float32")
    visible = np.array([[2, 2, 1, 2, 0], [1, 1, 1, 1, 1]])
    moved, seen = placement.keypoints(points, visible, pairs=((1, 2), (3, 4)))
    expected, shown = 2 * (points - [20, 10]), visible.copy()
    shown[:, 3] = 0  # right of the window
    if flips == 1:
        order = [0, 2, 1, 4, 3]
        expected = ([80, 0] - expected * [1, -1])[:, order]
        shown = shown[:, order]
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    np.testing.assert_array_equal(seen, shown)
    assert seen.dtype == tf.int64
    assert bool(placement.mirrored) == (flips == 1)


def test_what_stays_as_it_is():
    placement = unmoved()
    boxes = [[1.0, 2.0, 3.0, 5.0]]
    np.testing.assert_array_equal(placement.boxes(boxes)[0], boxes)
    np.testing.assert_array_equal(placement.boxes(boxes)[1], [1])
    points, shown = placement.points([[3.0, 4.0]])
    np.testing.assert_array_equal(points, [[3, 4]])
    assert shown.numpy().all() and not placement.mirrored
    np.testing.assert_array_equal(placement.mask(IDS[..., 0]), IDS[..., 0])
    np.testing.assert_array_equal(placement.image(IDS), IDS)


# Drawn


def test_operations_of_randaugment_one_after_the_other():
    """The placement of all slots is that of single operations, in their order."""
    rand, size = augmentation.RandAugment("rand-m9-n3-p1", fill=(0, 0, 0)), (31, 43)
    moving = [number for number, name in enumerate(augmentation.OPERATIONS) if name in MOVES]
    found = 0
    for seed in seeds(120):
        chosen, level, sign, bicubic = rand.draw(seed)
        expected = unmoved()
        for slot in range(3):
            one = rand.layers[int(chosen[slot])]
            drawn = one.drawn(level[slot], sign[slot], bicubic[slot])
            expected = expected.then(one.placement_of(drawn, size))
        placement = rand.placement_of((chosen, level, sign, bicubic), size)
        np.testing.assert_allclose(placement.steps, expected.steps, atol=1e-5)
        np.testing.assert_array_equal(placement.sizes, [size] * 3)
        found += len(set(chosen.numpy()) & set(moving)) > 1
    assert found > 2


def test_padded_objects_in_a_dataset():
    """Shapes stay static, and what only fills up is not taken for an object."""
    images = tf.constant(np.stack([np.asarray(photo(size=(90, 70)))] * 4))
    boxes = np.zeros((4, 5, 4), "float32")
    boxes[:, 0], boxes[2, 1] = [10, 20, 80, 60], [30, 5, 40, 50]
    valid = boxes[..., 2] > 0

    @tf.function
    def transform(image, seed):
        first, second = tf.unstack(tf.random.split(seed, 2))
        image, placement = crop("random_resized", 32)(image, first)
        image, moved = augmentation.image_augmentation(**SCALE)(image, second)
        return image, placement.then(moved)

    def prepare(image, boxes, valid, seed):
        image, placement = transform(image, seed)
        moved, visible = placement.boxes(boxes)
        masks = placement.mask(tf.ones((5, 70, 90), tf.uint8))
        return image, moved, valid & (visible > 0), masks

    dataset = tf.data.Dataset.from_tensor_slices((images, boxes, valid, seeds(4)))
    dataset = dataset.map(prepare, num_parallel_calls=2)
    assert [spec.shape.as_list() for spec in dataset.element_spec[:3]] == [
        [32, 32, 3],
        [5, 4],
        [5],
    ]
    for (_, moved, remain, masks), before in zip(dataset, valid, strict=True):
        assert not (remain.numpy() & ~before).any()
        assert (moved.numpy()[~remain.numpy()] == 0).all()
        assert (moved.numpy() >= 0).all() and (moved.numpy() <= 32).all()
        assert masks.shape == (5, 32, 32)


@pytest.mark.parametrize("encoded", [False, True])
def test_frames_of_a_clip_take_one_draw(encoded):
    frames = [np.asarray(photo(size=(90, 70))), 255 - np.asarray(photo(size=(90, 70)))]
    frames = [jpeg(frame) if encoded else frame for frame in [*frames, frames[0]]]
    augment = augmentation.image_augmentation(**SCALE)

    def transform(image, seed):
        return chain(crop("random_resized", 31), augment)(image, seed)

    def both(seed):
        clip, placement = augmentation.each_frame(transform)(tf.stack(frames), seed)
        assert clip.shape == (3, 31, 31, 3)
        alone, of_one = transform(tf.constant(frames[1]), seed)
        return clip, alone, placement, of_one

    clips, alone, placements, of_one = each(
        both, 12, (tf.float32, tf.float32, PLACEMENT, PLACEMENT)
    )
    np.testing.assert_array_equal(clips[:, 0], clips[:, 2])
    np.testing.assert_array_equal(clips[:, 1], alone)
    np.testing.assert_array_equal(placements.steps, of_one.steps)
    assert len(np.unique(placements.steps.reshape(12, -1), axis=0)) == 12


def test_one_draw_for_image_and_placement():
    """A flipped image says so, an upright one too."""
    augment = augmentation.image_augmentation(
        auto_augment=None, color_jitter=0, erasing=0, mean=(0, 0, 0), std=(1, 1, 1)
    )
    image = as_tensor(photo(size=(9, 7)))

    def both(seed):
        result, placement = augment(image, seed)
        return result, placement.mirrored

    results, mirrored = each(both, 60, (tf.float32, tf.bool))
    assert 15 < mirrored.sum() < 45
    for result, flipped in zip(results, mirrored, strict=True):
        np.testing.assert_array_equal(result, image[:, ::-1] if flipped else image)
