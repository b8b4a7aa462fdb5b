"""Points, masks and further images go where the pixels of an image went."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.augmented import each, photo
from tests.support.transforms import FLIP, OF_FLOATS, SIDES, TRANSFORMS, chain, crop, jpeg
from training import augmentation
from training.augmentation import crops


def blob(x, y, sides=SIDES, spread=3.0):
    """A bright spot about a point, float32 (H, W, 3) of whole numbers."""
    rows, columns = np.mgrid[: sides[0], : sides[1]] + 0.5
    spot = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
    return np.repeat(np.round(spot)[..., None], 3, -1).astype("float32")


def middle_of(image):
    """x and y of the mean of an image's light."""
    light = image[..., 0].astype("float64")
    rows, columns = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
    return np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_light_is_where_its_point_is(name):
    x, y = 55.25, 23.75
    image = blob(x, y)
    given = tf.constant(image, tf.float32 if name in OF_FLOATS else tf.uint8)

    def both(seed):
        result, placement = TRANSFORMS[name](given, seed)
        # the light of the spot lies within this box
        _, visible = placement.boxes([[x - 9, y - 9, x + 9, y + 9]])
        return result, placement.points([x, y])[0], visible[0]

    results, points, visible = each(both, 60, (tf.float32, tf.float32, tf.float32))
    whole = visible > 0.999
    assert whole.sum() > 6
    for result, point in zip(results[whole], points[whole], strict=True):
        np.testing.assert_allclose(middle_of(result), point, atol=0.15)
    assert len(np.unique(points[whole], axis=0)) > (1 if name != "none" else 0)


@pytest.mark.parametrize("size", [97, 40, 19, 11])
def test_light_of_a_jpeg_decoded_at_a_fraction(size):
    x, y = 190.5, 133.0
    encoded = jpeg(blob(x, y, (241, 367), spread=12))

    def both(seed):
        result, placement = crop("random_resized", size)(encoded, seed)
        _, visible = placement.boxes([[x - 40, y - 40, x + 40, y + 40]])
        return result, placement.points([x, y])[0], visible[0]

    results, points, visible = each(both, 60, (tf.float32, tf.float32, tf.float32))
    whole = visible > 0.999
    assert whole.sum() > 10
    for result, point in zip(results[whole], points[whole], strict=True):
        np.testing.assert_allclose(middle_of(result), point, atol=0.15)


IDS = tf.reshape(tf.range(1.0, 1 + 13 * 17), (13, 17, 1))


def shifted(image, seed):
    return crops.shift(image, seed, 4)


@pytest.mark.parametrize(
    "transform", [FLIP, shifted, chain(FLIP, shifted), chain(shifted, FLIP, shifted, shifted)]
)
def test_each_pixel_is_where_its_mask_is(transform):
    """Each pixel has a value of its own; gaps of a shift are black."""

    def both(seed):
        result, placement = transform(IDS, seed)
        masks = placement.mask(tf.cast([IDS[..., 0], IDS[::-1, :, 0]], tf.int32))
        return result[..., 0], masks[0], masks[1], placement.image(IDS)[..., 0]

    results, masks, others, images = each(both, 40, (tf.float32, tf.int32, tf.int32, tf.float32))
    assert len({result.tobytes() for result in results}) > 1
    np.testing.assert_array_equal(results, masks)
    np.testing.assert_allclose(images, results, atol=1e-3)
    lit = masks > 0
    np.testing.assert_array_equal(
        others[lit], 17 * (12 - (masks[lit] - 1) // 17) + (masks[lit] - 1) % 17 + 1
    )


@pytest.mark.parametrize("name", ["random_resized", "shift", "none", "all"])
def test_masks_and_images_move_alike(name):
    mask = np.zeros(SIDES, "uint8")
    mask[13:43, 31:73] = 1
    image = tf.constant(np.repeat(255 * mask[..., None], 3, -1))

    def both(seed):
        result, placement = TRANSFORMS[name](image, seed)
        boxes, visible = placement.boxes([[31, 13, 73, 43]])
        return result, placement.mask(mask), boxes[0], visible[0]

    results, masks, boxes, visible = each(both, 40, (tf.float32, tf.uint8, tf.float32, tf.float32))
    assert masks.mean() > 0.1
    # pixels that the edge of the object crosses may go either way
    assert ((results[..., 0] > 127) != masks).mean() < (0.005 if name != "all" else 0.03)
    if name == "all":
        return
    for one, box, share in zip(masks, boxes, visible, strict=True):
        rows, columns = np.nonzero(one)
        if share > 0.01:
            seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box, seen, atol=0.51)
            area = (box[2] - box[0]) * (box[3] - box[1])
            assert abs(one.sum() - area) < 0.1 * area + 20
        else:
            assert one.sum() < 20


@pytest.mark.parametrize("name", ["random_resized", "shift", "none"])
def test_another_image_follows(name):
    """A float image and a stack of bytes become what the crop makes of them."""
    image = np.asarray(photo(size=SIDES[::-1]))

    def both(seed):
        result, placement = TRANSFORMS[name](tf.constant(image), seed)
        stack = placement.image(np.stack([image, 255 - image])[None])
        return result, stack[0, 0], stack[0, 1], placement.image(image.astype("float32"))

    results, same, negative, real = each(both, 20, (tf.float32,) * 4)
    # a crop of the middle rounds after the columns and after the rows
    most, mean = (1, 0.01) if name == "random_resized" else (3, 0.3)
    assert np.abs(same - results).max() <= most and np.abs(same - results).mean() < mean
    np.testing.assert_array_equal(same, np.round(same))
    np.testing.assert_allclose(np.round(np.clip(real, 0, 255)), same, atol=1)
    lit = (same + negative > 250).all(-1)
    assert lit.mean() > 0.7  # all but the gaps


def test_a_turned_image_is_not_followed():
    drawn = augmentation.RandomOperation("Rotate")
    placement = drawn.placement_of(drawn.draw([1, 2]), (8, 9))
    with pytest.raises(tf.errors.InvalidArgumentError, match="sheared or turned"):
        placement.image(tf.zeros((8, 9, 3)))
