"""Masks on the grids of their boxes, cut again where a placement cuts the boxes.

`steps` and `sizes` are those of a `placement.Placement`. N: boxes; M: places a side of a mask.
"""

import tensorflow as tf

from training.augmentation import affine, warp


def cut_again(masks, boxes, steps, sizes):
    """Masks on the grids of what shows of their boxes.

    Args:
        masks: uint8 (N, M, M), the share of each place that is covered, on 0..255.
        boxes: float32 (N, 4), xyxy, theirs in the source.
        steps: float32 (n, 2, 3), none of which shears or turns.
        sizes: int32 (n, 2).

    Returns:
        uint8 (N, M, M); zeros where nothing of a box shows.

    Raises:
        tf.errors.InvalidArgumentError: when run, if a step shears or turns.
    """
    if not steps.shape[0]:
        return masks
    side = masks.shape[-1]
    boxes = tf.convert_to_tensor(boxes, tf.float32)
    shown = boxes
    for step, size in zip(tf.unstack(steps), tf.unstack(sizes), strict=True):
        shown = affine.within(affine.boxes_of(step, shown), affine.whole(size))
    scale, offset = warp.upright(steps)  # along rows and columns
    down, across = (
        _shares(
            boxes[:, i], boxes[:, i + 2], shown[:, i], shown[:, i + 2], scale[a], offset[a], side
        )
        for a, i in ((0, 1), (1, 0))
    )
    cut = tf.matmul(tf.matmul(down, tf.cast(masks, tf.float32)), across, transpose_b=True)
    cut = tf.where(affine.area(shown)[:, None, None] > 0, cut, 0.0)
    # shares of a box of next to nothing may add up to more than 1
    cut = tf.clip_by_value(tf.round(cut), 0, 255)
    return tf.ensure_shape(tf.cast(cut, tf.uint8), masks.shape)


def _shares(start, end, first, last, scale, offset, side):
    """What each place of first..last is of those of start..end, (N, M, M), along one axis.

    `start` and `end` (N,) lie in the source, `first` and `last` where `scale` and `offset` put it.
    """
    edges = tf.range(side + 1, dtype=tf.float32) / side
    places = first[:, None] + (last - first)[:, None] * edges
    # in places of the mask that is given: one of them is [i, i + 1)
    back = (places - offset) / scale - start[:, None]
    back = tf.math.divide_no_nan(back * side, (end - start)[:, None])
    low, high = tf.minimum(back[:, :-1], back[:, 1:]), tf.maximum(back[:, :-1], back[:, 1:])
    number = tf.range(side, dtype=tf.float32)
    shared = tf.minimum(high[..., None], number + 1) - tf.maximum(low[..., None], number)
    return tf.math.divide_no_nan(tf.nn.relu(shared), (high - low)[..., None])
