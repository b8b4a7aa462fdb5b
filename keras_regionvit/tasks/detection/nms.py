"""Non-maximum suppression by classes.

B images, N candidates, D detections at most.
"""

from keras import ops

from keras_regionvit.tasks.detection.boxes import intersection_over_union


def class_wise_nms(boxes, scores, classes, *, iou_threshold, score_threshold, max_detections):
    """The best candidates, none of which shares much with a better one of its class.

    It goes from the best candidate of all classes down and stops at `max_detections`, which gives
    what one suppression a class would, merged. Plain operations in a loop of at most as many
    rounds, so that SavedModel, ONNX and OpenVINO have it (OpenVINO 2026.4 has no
    `CombinedNonMaxSuppression`), and XLA and the other backends.

    Args:
        boxes: float32 tensor (B, N, 4), xyxy.
        scores: float32 tensor (B, N).
        classes: int32 tensor (B, N).
        iou_threshold: float; a candidate that shares more with a better one goes.
        score_threshold: float; a candidate must have more.
        max_detections: int D.

    Returns:
        `{"boxes": (B, D, 4), "scores": (B, D), "classes": int32 (B, D), "count": int32 (B,)}`, the
        best first; after `count` boxes and scores are 0 and classes -1.

    Example:

    >>> class_wise_nms(boxes, scores, classes, iou_threshold=0.5, score_threshold=0.05,
    ...                max_detections=100)["count"]
    """
    count = ops.shape(boxes)[1]
    candidates, places = ops.arange(count, dtype="int32"), ops.arange(max_detections, dtype="int32")

    def unfinished(i, left, picked):
        return ops.any(left > score_threshold)

    def pick(i, left, picked):
        top = ops.max(left, axis=1, keepdims=True)  # (B, 1)
        # `argmax` by hand: that of Keras has an operation that ONNX lacks
        first = ops.min(ops.where(left == top, candidates, count), axis=1, keepdims=True)
        this = candidates == first  # (B, N)
        box = ops.sum(ops.where(this[..., None], boxes, 0.0), axis=1, keepdims=True)
        kind = ops.sum(ops.where(this, classes, 0), axis=1, keepdims=True)
        over = (intersection_over_union(boxes, box) > iou_threshold) & (classes == kind)
        picked = ops.where((places == i) & (top > score_threshold), first, picked)
        return i + 1, ops.where(over | this, 0.0, left), picked

    start = (
        ops.zeros((), "int32"),
        scores,
        ops.full((ops.shape(boxes)[0], max_detections), -1, dtype="int32"),
    )
    *_, picked = ops.while_loop(unfinished, pick, start, maximum_iterations=max_detections)
    valid, index = picked >= 0, ops.maximum(picked, 0)
    return {
        "boxes": ops.where(valid[..., None], ops.take_along_axis(boxes, index[..., None], 1), 0.0),
        "scores": ops.where(valid, ops.take_along_axis(scores, index, 1), 0.0),
        "classes": ops.where(valid, ops.take_along_axis(classes, index, 1), -1),
        "count": ops.sum(ops.cast(valid, "int32"), axis=1),
    }


def kept(boxes, real, iou_threshold):
    """Which boxes no better one that stays shares much with, without classes.

    All are judged at once, again and again until nothing changes: after n rounds the first n are
    right, and mostly a dozen rounds are enough for thousands, where going from the best box down
    takes a round for each that stays.

    Args:
        boxes: float32 tensor (B, N, 4), xyxy, the best first.
        real: bool tensor (B, N), the boxes that take part.
        iou_threshold: float; a box that shares more with a better one goes.

    Returns:
        A bool tensor (B, N).

    Example:

    >>> kept(boxes, scores > -1e9, 0.7)
    """
    shared = intersection_over_union(boxes[:, :, None], boxes[:, None])  # (B, N, N)
    order = ops.arange(ops.shape(boxes)[1])
    against = (shared > iou_threshold) & (order[:, None] < order[None])
    against = ops.cast(against & real[:, :, None], "float32")

    def changes(stays, before):
        return ops.any(stays != before)

    def judge(stays, before):
        votes = ops.matmul(ops.cast(stays, "float32")[:, None], against)[:, 0]  # (B, N)
        return real & (votes < 0.5), stays

    nothing = ops.zeros_like(real)
    return ops.while_loop(changes, judge, judge(nothing, nothing))[0]
