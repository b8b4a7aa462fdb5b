"""Anchors: the boxes that a detector starts from.

h w size of a map, A anchors a place.
"""

import numpy as np
from keras import ops

RATIOS = (0.5, 1.0, 2.0)  # height over width
OCTAVES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))


def cell_anchors(sizes, ratios=RATIOS):
    """The anchors of one place, around (0, 0).

    Args:
        sizes: floats, square roots of areas in pixels.
        ratios: floats, height over width.

    Returns:
        A float32 array (A, 4), xyxy, for each size all ratios.

    Example:

    >>> cell_anchors([32.0]).tolist()[1]
    [-16.0, -16.0, 16.0, 16.0]
    """
    boxes = []
    for size in sizes:
        for ratio in ratios:
            width = np.sqrt(size**2 / ratio)
            height = ratio * width
            boxes.append([-width / 2, -height / 2, width / 2, height / 2])
    return np.array(boxes, "float32")


def level_anchors(height, width, stride, sizes, ratios=RATIOS):
    """The anchors of a map, of every place in rows.

    Args:
        height: int or integer scalar tensor, of the map.
        width: likewise.
        stride: int, pixels from place to place; the first anchors are around pixel 0.
        sizes: floats, square roots of areas in pixels.
        ratios: floats, height over width.

    Returns:
        A float32 tensor (h * w * A, 4), xyxy pixels, also beyond the image.

    Example:

    >>> level_anchors(2, 3, 8, [32.0]).shape
    TensorShape([18, 4])
    """
    rows = ops.cast(ops.arange(height), "float32") * stride
    columns = ops.cast(ops.arange(width), "float32") * stride
    x, y = ops.meshgrid(columns, rows)  # (h, w) each
    places = ops.stack([x, y, x, y], axis=-1)
    anchors = places[:, :, None] + cell_anchors(sizes, ratios)
    return ops.reshape(anchors, (-1, 4))  # (h, w, A, 4) -> (h * w * A, 4)


def retinanet_sizes(level):
    """The sizes of RetinaNet's anchors on a level: three to an octave, from 4 strides on.

    Args:
        level: int, log2 of the stride.

    Returns:
        Three floats in pixels.

    Example:

    >>> retinanet_sizes(3)[0]
    32.0
    """
    return tuple(4 * 2**level * octave for octave in OCTAVES)
