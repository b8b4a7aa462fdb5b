"""Masks and keypoints of the composed set: what is seen, where corners are, the same everywhere."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from training.data.sources.composed import compose, compose_whole, composed_source
from training.data.sources.composed_shapes import CORNERS, corners_of, keypoints_of, masks_of
from training.data.sources.instance_masks import decoded

IMAGES = [(part, index) for part in ("train", "test") for index in range(12)]
MIRRORED = [1, 0, 3, 2]


def test_masks_are_what_is_seen():
    for part, index in IMAGES:
        made = compose(part, index)
        masks, counts, size = masks_of(made, 28)
        assert size.tolist() == [256, 256] and size.dtype == np.int32
        for n, (x0, y0, x1, y1) in enumerate(made.boxes):
            seen = made.owner == n
            np.testing.assert_array_equal(decoded(counts[n], size), seen)
            # places of a box cover as much of it as its pixels do
            share = made.visible[n] / ((x1 - x0) * (y1 - y0))
            assert masks[n].mean() / 255 == pytest.approx(share, abs=2e-3)


def test_places_of_whole_pixels_are_exact():
    made = compose("train", 3)
    masks, _, _ = masks_of(made, 1)
    for n, (x0, y0, x1, y1) in enumerate(made.boxes.astype(int)):
        # by whole numbers, a half rounded up
        assert masks[n, 0, 0] == (510 * made.visible[n] // ((x1 - x0) * (y1 - y0)) + 1) // 2


def test_corners():
    """No pixel of a silhouette lies farther out; corners of a mirror image are those mirrored."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = rng.random((rng.integers(1, 12), rng.integers(1, 15))) < 0.3
        mask[rng.integers(mask.shape[0]), rng.integers(mask.shape[1])] = True
        corners = corners_of(mask)
        pixels = [(x, y) for y, x in zip(*np.nonzero(mask), strict=True)]
        for (x, y), down, right in zip(corners, (1, 1, -1, -1), (1, -1, 1, -1), strict=True):
            assert mask[y, x]
            assert min(down * b + right * a for a, b in pixels) == down * y + right * x
        mirror = corners_of(mask[:, ::-1])
        np.testing.assert_array_equal(mirror[:, 0], mask.shape[1] - 1 - corners[MIRRORED, 0])
        np.testing.assert_array_equal(mirror[:, 1], corners[MIRRORED, 1])
        turned = corners_of(mask[::-1])
        np.testing.assert_array_equal(turned[:, 0], corners[[2, 3, 0, 1], 0])


def test_keypoints_are_seen_or_hidden():
    hidden = seen = 0
    for part, index in IMAGES:
        made, corners = compose_whole(part, index)
        points = keypoints_of(made, corners)
        assert points.shape == (len(made.labels), len(CORNERS), 3)
        for n, own in enumerate(points):
            for x, y, visible in own:
                owner = made.owner[int(y), int(x)]
                assert (x % 1, y % 1) == (0.5, 0.5)  # the middle of a pixel
                assert visible == (2 if owner == n else 1)
                assert owner >= n  # what lies over it came later
            hidden, seen = hidden + (own[:, 2] == 1).sum(), seen + (own[:, 2] == 2).sum()
            if made.visible[n] == made.whole[n]:
                assert (own[:, 2] == 2).all()
                x, y = own[:, 0], own[:, 1]
                left, right = min(x[0], x[2]), max(x[1], x[3])
                assert left >= made.boxes[n, 0] and right <= made.boxes[n, 2]
                assert min(y[0], y[1]) >= made.boxes[n, 1] and max(y[2:]) <= made.boxes[n, 3]
    assert hidden > 20 and seen > 200


def test_the_same_bytes_on_every_machine():
    digest = hashlib.sha256()
    for part in ("train", "test"):
        for index in (0, 1, 77, 499):
            made, corners = compose_whole(part, index)
            masks, counts, _ = masks_of(made, 112)
            digest.update(masks.tobytes() + b"".join(counts))
            digest.update(keypoints_of(made, corners).astype("<f4").tobytes())
    assert digest.hexdigest() == (
        "4684347bf844c37bfcafda96d99fec71bb1958c72f65b85810e6d1791ce47993"
    )


@pytest.mark.parametrize("what", ["masks", "keypoints"])
def test_source(what):
    source = composed_source("train", what, mask_size=30)
    plain = composed_source("train")
    for index in (0, 5):
        example, before = (s.example_of(tf.constant(index, tf.int64)) for s in (source, plain))
        if what == "keypoints":  # garments are of one class there
            before["labels"] *= 0
        for name, value in before.items():
            np.testing.assert_array_equal(example.pop(name), value)
        made, corners = compose_whole("train", index)
        if what == "masks":
            expected = dict(zip(("masks", "segmentation", "size"), masks_of(made, 30), strict=True))
        else:
            expected = {"keypoints": keypoints_of(made, corners)}
        assert list(example) == list(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(example[name], value)
    record = source.records(None).map(source.example_of).element_spec
    shapes = {
        "masks": [None, 30, 30],
        "segmentation": [None],
        "size": [2],
        "keypoints": [None, 4, 3],
    }
    for name in expected:
        assert record[name].shape.as_list() == shapes[name]


def test_info():
    info = composed_source("test", "keypoints").info
    assert composed_source("test", "masks").info == composed_source("test").info
    assert {key: info.pop(key) for key in list(info) if "k" in key} == {
        "keypoints": 4,
        "keypoint_names": CORNERS,
        "keypoint_pairs": ((0, 1), (2, 3)),
        "skeleton": ((0, 1), (1, 3), (3, 2), (2, 0)),
    }
    assert info.pop("class_names") == ("garment",) and info.pop("category_ids") == (1,)
    assert info.items() <= composed_source("test").info.items()
