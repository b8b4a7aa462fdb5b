"""Boxes as corners and as what anchors lack of them.

Boxes are (..., 4), x1 y1 x2 y2 in pixels; deltas (..., 4) are shifts of the centre in sizes of the
anchor, then logarithms of the growth of width and height.
"""

import math

from keras import ops

LARGEST_GROWTH = math.log(1000 / 16)  # so that no exponential overflows
LARGEST_SHIFT = 1e4
TINY = 1e-9


def areas(boxes):
    """Areas in square pixels (...), 0 for a box that is inside out."""
    width = boxes[..., 2] - boxes[..., 0]
    height = boxes[..., 3] - boxes[..., 1]
    return ops.maximum(width, 0.0) * ops.maximum(height, 0.0)


def intersection_over_union(a, b):
    """How much boxes share, over what both cover; 0 where neither covers anything.

    Args:
        a: tensor (..., 4).
        b: tensor (..., 4) that broadcasts against `a`.

    Returns:
        A tensor (...), on 0..1.

    Example:

    >>> intersection_over_union(boxes[:, None], anchors[None]).shape  # every pair
    TensorShape([2, 18])
    """
    left, top = (ops.maximum(a[..., i], b[..., i]) for i in (0, 1))
    right, bottom = (ops.minimum(a[..., i], b[..., i]) for i in (2, 3))
    shared = ops.maximum(right - left, 0.0) * ops.maximum(bottom - top, 0.0)
    return shared / ops.maximum(areas(a) + areas(b) - shared, TINY)


def encode(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """What anchors lack of boxes.

    Args:
        boxes: tensor (..., 4); one without an area is given the least one.
        anchors: tensor (..., 4) that broadcasts against `boxes`.
        weights: four floats that the deltas are multiplied by.

    Returns:
        Deltas, a tensor (..., 4).

    Example:

    >>> decode(encode(boxes, anchors), anchors)  # boxes
    """
    wx, wy, ww, wh = weights
    x, y, width, height = _centres(boxes)
    ax, ay, awidth, aheight = _centres(anchors)
    return ops.stack(
        [
            wx * (x - ax) / awidth,
            wy * (y - ay) / aheight,
            ww * ops.log(width / awidth),
            wh * ops.log(height / aheight),
        ],
        axis=-1,
    )


def decode(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """The inverse of `encode`, always finite: growth ends at 62.5, shifts at 10,000 anchors.

    Args:
        deltas: float32 tensor (..., 4).
        anchors: float32 tensor (..., 4) that broadcasts against `deltas`.
        weights: as in `encode`.

    Returns:
        Boxes, a tensor (..., 4).
    """
    dx, dy, dw, dh = (deltas[..., i] / weights[i] for i in range(4))
    ax, ay, awidth, aheight = _centres(anchors)
    x = ax + ops.clip(dx, -LARGEST_SHIFT, LARGEST_SHIFT) * awidth
    y = ay + ops.clip(dy, -LARGEST_SHIFT, LARGEST_SHIFT) * aheight
    width = ops.exp(ops.minimum(dw, LARGEST_GROWTH)) * awidth
    height = ops.exp(ops.minimum(dh, LARGEST_GROWTH)) * aheight
    return ops.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=-1)


def clip(boxes, height, width):
    """Boxes cut off at the image's borders.

    Args:
        boxes: float tensor (..., 4).
        height: int or integer scalar tensor, of the image.
        width: likewise.

    Returns:
        A tensor (..., 4), x on 0..width and y on 0..height.
    """
    height, width = ops.cast(height, boxes.dtype), ops.cast(width, boxes.dtype)
    return ops.clip(boxes, 0.0, ops.stack([width, height, width, height]))


def _centres(boxes):
    """`(x, y, width, height)` of boxes around their centres, sizes above 0."""
    width = ops.maximum(boxes[..., 2] - boxes[..., 0], TINY)
    height = ops.maximum(boxes[..., 3] - boxes[..., 1], TINY)
    return boxes[..., 0] + width / 2, boxes[..., 1] + height / 2, width, height
