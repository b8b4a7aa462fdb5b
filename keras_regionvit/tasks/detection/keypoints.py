"""Keypoints of objects: as places of a region's heatmap, and back in pixels.

B images, N detections of an image, R regions, K keypoints, S places a side of a heatmap.
"""

import keras
import numpy as np
from keras import ops

from keras_regionvit.tasks.detection.losses import class_loss
from keras_regionvit.tasks.detection.region_heads import enlarged

FINE = 8  # parts of a place that a keypoint is found to
SHARPNESS = -0.75  # of the cubic kernel, as PyTorch has it
LOWEST = -1e9  # what is outside of a heatmap
_NEAR = np.arange(-3, 4, dtype="int32")
# The points that are looked at, in places from the upper end of the highest one (F,).
_POINTS = (np.arange(2 * FINE + 1, dtype="float32") - FINE) / FINE + 0.5


def places_of(keypoints, regions, size):
    """The place of a heatmap that each keypoint lies in.

    Args:
        keypoints: float tensor (..., R, K, 3), x and y in pixels, then 0 for what is not labelled.
        regions: float tensor (..., R, 4), xyxy pixels.
        size: int S.

    Returns:
        `(int32 (..., R, K) on 0..S * S - 1, row by row, bool (..., R, K))`: the second is False,
        and the place 0, for a keypoint that is not labelled or outside of its region.
    """
    start, end = regions[..., None, :2], regions[..., None, 2:]
    scaled = (keypoints[..., :2] - start) * size / ops.maximum(end - start, 1e-6)
    place = ops.cast(ops.floor(scaled), "int32")
    # what lies on the far border is of the last place
    place = ops.where(keypoints[..., :2] == end, size - 1, place)
    inside = ops.all((place >= 0) & (place < size), axis=-1) & (keypoints[..., 2] > 0)
    return ops.where(inside, place[..., 1] * size + place[..., 0], 0), inside


def keypoint_losses(keypoints, regions, heatmaps):
    """The cross entropy of each keypoint over the places of its heatmap.

    Args:
        keypoints: float tensor (..., R, K, 3), see `places_of`.
        regions: float tensor (..., R, 4).
        heatmaps: float tensor (..., R, S, S, K), logits.

    Returns:
        `(losses (..., R, K), bool (..., R, K))`: which of them count.
    """
    size, count = heatmaps.shape[-2], heatmaps.shape[-1]
    places, counts = places_of(keypoints, regions, size)
    logits = ops.swapaxes(
        ops.reshape(heatmaps, (*ops.shape(heatmaps)[:-3], size * size, count)), -1, -2
    )
    return class_loss(places, logits), counts


def decode(heatmaps, boxes):
    """Where each heatmap is highest, in pixels.

    The highest place is found first, then the highest point of the cubic interpolation within a
    place of it, to an eighth of a place. Official models interpolate whole heatmaps to the size of
    the box in pixels and take the centre of the highest pixel: that differs by half a pixel or an
    eighth of a place at most, but where two summits are almost as high.

    Args:
        heatmaps: float32 tensor (..., S, S, K), logits.
        boxes: float32 tensor (..., 4), xyxy pixels.

    Returns:
        A tensor (..., K, 3): x and y in pixels, and a score on 0..1: the exponential of the summit
        over the sum of those of all places.

    Example:

    >>> decode(heatmaps, detections["boxes"])[..., :2]
    """
    size, count = heatmaps.shape[-2], heatmaps.shape[-1]
    lead = ops.shape(heatmaps)[:-3]
    maps = ops.reshape(heatmaps, (-1, size * size, count))
    top = ops.max(maps, axis=1, keepdims=True)  # (n, 1, K)
    # `argmax` by hand: that of Keras has an operation that ONNX lacks
    numbers = ops.arange(size * size, dtype="int32")[None, :, None]
    highest = ops.min(ops.where(maps == top, numbers, size * size - 1), axis=1)  # (n, K)
    row, column = highest // size, highest % size
    fine = _interpolated(_around(maps, row, column, size))  # (n, K, F, F)
    inside = [_inside(place, size) for place in (row, column)]
    fine = ops.where(inside[0][..., None] & inside[1][..., None, :], fine, LOWEST)
    steps = fine.shape[-1]
    flat = ops.reshape(fine, (-1, count, steps * steps))
    summit = ops.max(flat, axis=-1, keepdims=True)
    numbers = ops.arange(steps * steps, dtype="int32")
    best = ops.min(ops.where(flat == summit, numbers, steps * steps - 1), axis=-1)
    y = ops.cast(row, "float32") + ops.take(_POINTS, best // steps)
    x = ops.cast(column, "float32") + ops.take(_POINTS, best % steps)
    total = ops.sum(ops.exp(maps - top), axis=1)
    score = ops.minimum(ops.exp(summit[..., 0] - top[:, 0]) / total, 1.0)
    boxes = ops.reshape(boxes, (-1, 1, 4))
    wide, high = (boxes[..., i + 2] - boxes[..., i] for i in (0, 1))
    found = [boxes[..., 0] + x / size * wide, boxes[..., 1] + y / size * high, score]
    return ops.reshape(ops.stack(found, axis=-1), (*lead, count, 3))


def _around(maps, row, column, size):
    """The 7x7 places around one, (n, K, 7, 7), those on the border repeated beyond it."""
    count = maps.shape[-1]
    rows, columns = (
        ops.clip(place[..., None] + _NEAR, 0, size - 1) for place in (row, column)
    )  # (n, K, 7)
    index = rows[..., None] * size + columns[..., None, :]  # (n, K, 7, 7)
    flat = ops.reshape(ops.swapaxes(maps, 1, 2), (-1, size * size))  # (n * K, S * S)
    patch = ops.take_along_axis(flat, ops.reshape(index, (-1, 49)), 1)
    return ops.reshape(patch, (-1, count, 7, 7))


def _interpolated(patch):
    """The cubic interpolation of places (n, K, 7, 7) at the points around the middle one."""
    distance = np.abs(_POINTS[:, None] - 0.5 - _NEAR)  # (F, 7)
    a = SHARPNESS
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0)).astype("float32")
    return ops.matmul(ops.matmul(weights, patch), weights.T)


def _inside(place, size):
    """Which points around a place lie in the heatmap, (n, K, F)."""
    point = ops.cast(place, "float32")[..., None] + _POINTS
    return (point >= 0) & (point <= size)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class KeypointDecoder(keras.layers.Layer):
    """The keypoints of detections, see `decode`.

    Input: `[heatmaps (B * N, 28, 28, K), boxes (B, N, 4), classes int32 (B, N)]`, classes -1 where
    there is nothing. Output shape: (B, N, K, 3), float32; zeros where there is nothing.

    Example:

    >>> KeypointDecoder()([heatmaps, detections["boxes"], detections["classes"]])
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs):
        """The keypoints."""
        heatmaps, boxes, classes = inputs
        found = decode(enlarged(heatmaps), ops.reshape(boxes, (-1, 4)))
        # (B * N, K, 3) -> (B, N, K, 3)
        found = ops.reshape(found, (-1, classes.shape[1], heatmaps.shape[-1], 3))
        return ops.where(classes[..., None, None] >= 0, found, 0.0)

    def compute_output_shape(self, input_shape):
        """The shape of the classes, then that of an object's keypoints."""
        heatmaps, _, classes = input_shape
        return (*classes, heatmaps[-1], 3)
