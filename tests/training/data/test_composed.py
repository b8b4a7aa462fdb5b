"""The composed set: exact boxes and masks, garments that can be seen, the same bytes everywhere."""

import hashlib
import os

import numpy as np
import pytest
import tensorflow as tf

from training.data.sources import composed, fashion_mnist
from training.data.sources.composed import BACKGROUND, SIZE, bilinear, compose, composed_source

EACH = int(os.environ.get("COMPOSED_IMAGES", "60"))  # of each part; all of them if 2000
IMAGES = [(part, i) for part, count in composed.COUNTS.items() for i in range(min(EACH, count))]


def test_garments():
    for part, index in IMAGES:
        made = compose(part, index)
        assert 3 <= len(made.labels) <= 8
        assert made.sides.min() >= 24 and made.sides.max() <= 112
        assert np.all(2 * made.visible >= made.whole)
        for number, (x0, y0, x1, y1) in enumerate(made.boxes.astype(int)):
            seen = made.owner == number
            assert seen.sum() == made.visible[number]
            assert seen[y0:y1, x0:x1].sum() == seen.sum()  # nothing outside
            for side in (seen[y0], seen[y1 - 1], seen[:, x0], seen[:, x1 - 1]):
                assert side.any()  # nothing to cut off


def test_a_garment_without_others_over_it_has_its_own_pixels():
    made = compose("train", 0)
    uncovered = np.flatnonzero(made.visible == made.whole)
    assert len(uncovered)
    for number in uncovered:
        x0, y0, x1, y1 = made.boxes[number]
        assert max(x1 - x0, y1 - y0) == made.sides[number]


def test_the_same_bytes_on_every_machine():
    digest = hashlib.sha256()
    for part in ("train", "test"):
        for index in (0, 1, 77, 499):
            for array in compose(part, index):
                digest.update(np.ascontiguousarray(array).tobytes())
    assert digest.hexdigest() == (
        "674254ce8d04fc989a10b22a8982b0dab8abcc70d8af1bff7472b2e35ce15aa3"
    )


def test_parts_share_nothing():
    train, test = fashion_mnist.load()
    assert not {i.tobytes() for i in train.images} & {i.tobytes() for i in test.images}
    first = [compose(part, 0).image.tobytes() for part in ("train", "test")]
    assert first[0] != first[1]


@pytest.mark.parametrize("what", ["detection", "segmentation"])
def test_source(what):
    source, held_out = composed_source("train", what), composed_source("validation", what)
    assert (source.count, held_out.count) == (2000, 500) and source.info == held_out.info
    assert composed_source("test", what).name == held_out.name == "composed test"
    records = source.records([1, 2]).take(12)
    runs = [
        list(records.map(source.example_of, num_parallel_calls=n).as_numpy_iterator())
        for n in (1, 5)
    ]
    indices = [int(index) for index in records.as_numpy_iterator()]
    assert len(set(indices)) == 12
    for index, *examples in zip(indices, *runs, strict=True):
        made = compose("train", index)
        for example in examples:
            np.testing.assert_array_equal(example["image"], made.image)
            if what == "segmentation":
                classes = np.append(made.labels, BACKGROUND)[made.owner]
                np.testing.assert_array_equal(example["mask"], classes)
                assert example["mask"].dtype == np.uint8
            else:
                np.testing.assert_array_equal(example["boxes"], made.boxes)
                np.testing.assert_array_equal(example["labels"], made.labels)
                np.testing.assert_array_equal(example["area"], made.visible)
                assert not example["crowd"].any()
    key = source.key_of(tf.constant(7, tf.int64))
    assert (int(key["index"]), key["name"].numpy()) == (7, b"composed train, image 7")


def test_info():
    assert composed_source("train").info == {
        "class_names": fashion_mnist.CLASS_NAMES,
        "channels": 3,
        "max_objects": 8,
        "category_ids": tuple(range(1, 11)),
    }
    names = composed_source("train", "segmentation").info["class_names"]
    assert len(names) == 11 and names[BACKGROUND] == "background"


def test_masks_hold_every_class():
    masks = [np.append(m.labels, BACKGROUND)[m.owner] for m in (compose("test", i) for i in (0, 1))]
    assert all(mask.shape == (SIZE, SIZE) and (mask == BACKGROUND).any() for mask in masks)


def test_refuses():
    with pytest.raises(ValueError, match="`what` must be detection, masks, keypoints or seg"):
        composed_source("train", "boxes")
    with pytest.raises(ValueError, match="`split` must be train, validation or test"):
        composed_source("dev")


def test_bilinear():
    draw = np.random.RandomState(0)
    image = draw.randint(0, 256, (5, 7)).astype("int32")
    for shape in ((13, 3), (5, 7), (24, 31)):
        expected = tf.image.resize(image[..., None].astype("float32"), shape)[..., 0]
        assert np.abs(bilinear(image, *shape) - expected).max() < 1.01  # rounded twice
