"""Which anchor is to find which object.

N objects of an image, padded; A anchors.
"""

from keras import ops

from keras_regionvit.tasks.detection.boxes import intersection_over_union

NO_OBJECT, UNSURE = -1, -2


def match(boxes, real, anchors, low, high, low_quality=True):
    """The object of each anchor.

    An anchor takes the object that it shares most with, if that is at least `high`; below `low` it
    is background, between them it counts for nothing. With `low_quality` the best anchors of an
    object, all that share the most with it, are never background.

    Args:
        boxes: float32 tensor (N, 4), xyxy.
        real: bool tensor (N,), False for padding.
        anchors: float32 tensor (A, 4).
        low: float, an intersection over union.
        high: float, likewise.
        low_quality: see above.

    Returns:
        An int32 tensor (A,): an index on 0..N-1, `NO_OBJECT` or `UNSURE`.

    Example:

    >>> match(boxes, labels >= 0, anchors, 0.4, 0.5)
    """
    # a row more, that nothing shares anything with: a maximum needs one
    boxes = ops.pad(boxes, [(0, 1), (0, 0)])
    real = ops.pad(real, [(0, 1)])
    shared = intersection_over_union(boxes[:, None], anchors[None])  # (N + 1, A)
    shared = ops.where(real[:, None], shared, 0.0)
    best = ops.max(shared, axis=0)
    index = ops.cast(ops.argmax(shared, axis=0), "int32")
    found = ops.where(best >= high, index, ops.where(best < low, NO_OBJECT, UNSURE))
    if not low_quality:
        return found
    most = ops.max(shared, axis=1, keepdims=True)
    is_best = ops.any((shared == most) & (most > 0), axis=0)
    return ops.where(is_best, index, found)
