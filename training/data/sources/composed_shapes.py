"""Masks and keypoints of the composed set's garments: whole numbers, the same on every machine.

A garment's keypoints are the four corners of its silhouette, before others lie over it: of its
pixels those farthest up and left, up and right, down and left, down and right. n: garments of an
image; M: places a side of a mask.
"""

import typing
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from training.data.sources import instance_masks
from training.data.sources.keypoint_names import named_info

CORNERS = ("upper left", "upper right", "lower left", "lower right")
SKELETON = ((0, 1), (1, 3), (3, 2), (2, 0))


class Shapes(typing.NamedTuple):
    """What examples hold beside boxes.

    Attributes:
        specs: `{name: tf.TensorSpec}`.
        of: function of a `Composed` and the corners of its garments, int64 (n, 4, 2), x and y of
            pixels; gives as many arrays.
        info: more of the source's `info`.
        class_names: in place of the garments' own, or ().
    """

    specs: dict
    of: Callable
    info: dict
    class_names: tuple[str, ...] = ()


def shapes_of(what, mask_size):
    """The `Shapes` of "masks" or "keypoints"; of anything else none.

    Example:

    >>> list(shapes_of("masks", 112).specs)
    ['masks', 'segmentation', 'size']
    """
    if what == "masks":
        specs = {
            "masks": tf.TensorSpec((None, mask_size, mask_size), tf.uint8),
            "segmentation": tf.TensorSpec((None,), tf.string),
            "size": tf.TensorSpec((2,), tf.int32),
        }
        return Shapes(specs, lambda made, _: masks_of(made, mask_size), {})
    if what == "keypoints":
        specs = {"keypoints": tf.TensorSpec((None, len(CORNERS), 3), tf.float32)}
        info = named_info(CORNERS, SKELETON)
        return Shapes(specs, lambda *made: (keypoints_of(*made),), info, ("garment",))
    return Shapes({}, lambda *_: (), {})


def masks_of(made, side):
    """What is seen of each garment.

    Args:
        made: a `Composed`.
        side: int M.

    Returns:
        `(uint8 (n, M, M), n texts, int32 (2,))`: its share of each place of its box on 0..255, its
        compressed run lengths in the image, and rows and columns of that.

    Example:

    >>> masks_of(compose("train", 0), 28)[0].shape
    (6, 28, 28)
    """
    masks = np.zeros((len(made.boxes), side, side), "uint8")
    counts = np.zeros(len(made.boxes), "object")
    for n, box in enumerate(made.boxes):
        masks[n] = instance_masks.of_pixels(made.owner == n, box, side)
        counts[n] = instance_masks.encoded(made.owner == n)
    return masks, counts, np.array(made.owner.shape, "int32")


def keypoints_of(made, corners):
    """The corners of each garment, and whether they are seen.

    Args:
        made: a `Composed`.
        corners: int64 (n, 4, 2), x and y of pixels.

    Returns:
        float32 (n, 4, 3): x and y of their middle; 2, or 1 where another garment lies over it.
    """
    x, y = corners[..., 0], corners[..., 1]
    seen = made.owner[y, x] == np.arange(len(corners))[:, None]
    return np.stack([x + 0.5, y + 0.5, 1 + seen], axis=-1).astype("float32")


def corners_of(mask):
    """The corners of a silhouette.

    Of equally far pixels the one highest up is taken above, the lowest one below, so that a mirror
    changes left and right and nothing else.

    Args:
        mask: boolean (h, w), somewhere True.

    Returns:
        int64 (4, 2), x and y of pixels, in the order of `CORNERS`.

    Example:

    >>> corners_of(np.array([[False, True], [True, True]]))
    array([[1, 0],
           [1, 0],
           [0, 1],
           [1, 1]])
    """
    y, x = np.nonzero(mask)
    found = []
    for down in (1, -1):
        for right in (1, -1):
            best = np.lexsort((down * y, down * y + right * x))[0]
            found.append((x[best], y[best]))
    return np.array(found, "int64")
