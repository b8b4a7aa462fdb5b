"""The masks or keypoints of all objects of a set of images, as tensors of one image.

n: objects of an image; M: places a side of a mask; K: keypoints of an object.
"""

import typing

import numpy as np
import tensorflow as tf

from training.data.sources import instance_masks

SHAPES = ("", "masks", "keypoints")  # what may be asked for beside boxes


class Masks:
    """The masks of all objects of a set, drawn when an image is read.

    Args:
        shapes: a list of polygons or run lengths, see `instance_masks`.
        ends: int64 (images + 1,), those of image i are `ends[i]` to `ends[i + 1]`.
        sizes: (rows, columns) of each image.
        side: int M.
    """

    info: typing.ClassVar[dict] = {}

    def __init__(self, shapes, ends, sizes, side):
        self.shapes, self.ends, self.sizes, self.side = shapes, ends, sizes, side

    def of(self, index, boxes):
        """{"masks": uint8 (n, M, M), "segmentation": string (n,), "size": int32 (2,)}."""

        def own(index):
            size = tuple(int(side) for side in self.sizes[index])
            return self.shapes[self.ends[index] : self.ends[index + 1]], size

        def draw(index, boxes):
            shapes, size = own(index)
            masks = np.zeros((len(shapes), self.side, self.side), "uint8")
            for n, (shape, box) in enumerate(zip(shapes, boxes, strict=True)):
                masks[n] = instance_masks.box_mask(shape, size, box, self.side)
            return masks

        def encode(index):
            shapes, size = own(index)
            return np.array([instance_masks.run_lengths(s, size) for s in shapes], "object")

        # declared free of state: a stateful function would be run by one thread only, and could
        # not be left out where its result is not used
        masks = tf.numpy_function(draw, [index, boxes], tf.uint8, stateful=False)
        counts = tf.numpy_function(encode, [index], tf.string, stateful=False)
        return {
            "masks": tf.ensure_shape(masks, (None, self.side, self.side)),
            "segmentation": tf.ensure_shape(counts, (None,)),
            "size": tf.constant(self.sizes, tf.int32)[index],
        }


class Keypoints:
    """The keypoints of all objects of a set.

    Args:
        points: float32 (objects, K, 3).
        ends: see `Masks`.
        info: see `keypoint_info`.
    """

    def __init__(self, points, ends, info):
        self.points, self.ends, self.info = tf.constant(points), tf.constant(ends), info

    def of(self, index, boxes):
        """{"keypoints": float32 (n, K, 3)}: x and y in pixels, and visibility."""
        return {"keypoints": self.points[self.ends[index] : self.ends[index + 1]]}


def check_shapes(shapes, mask_size):
    """Checks what is asked for beside boxes.

    Args:
        shapes: one of `SHAPES`.
        mask_size: int M.

    Raises:
        ValueError: `shapes` is another one, or `mask_size` no positive integer.

    Example:

    >>> check_shapes("masks", 112)
    """
    if shapes not in SHAPES:
        known = ", ".join(map(repr, SHAPES))
        raise ValueError(f"`shapes` must be one of {known}. Received: {shapes!r}")
    if type(mask_size) is not int or mask_size < 1:
        raise ValueError(f"`mask_size` must be a positive integer. Received: {mask_size!r}")
