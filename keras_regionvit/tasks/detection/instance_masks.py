"""Masks of objects, in boxes and in images.

B images, N objects of an image, M places a side of a mask in its box, R regions, S places a side of
a region's mask, H W pixels.
"""

import keras
import numpy as np
from keras import ops

THRESHOLD = 0.5  # from which on a pixel belongs to an object


def within_regions(masks, boxes, regions, size):
    """The share of each place of a region that a mask covers.

    Each place is a rectangle, of which the mask covers an area; outside of its box a mask is empty.

    Args:
        masks: float tensor (..., R, M, M) on 0..1, each on the grid of its box.
        boxes: float tensor (..., R, 4), xyxy pixels.
        regions: float tensor (..., R, 4), likewise.
        size: int S.

    Returns:
        A float32 tensor (..., R, S, S) on 0..1.

    Example:

    >>> within_regions(masks, boxes, boxes, 28)  # the same, resized
    """
    side = masks.shape[-1]
    down, across = (
        _overlap(boxes[..., i], boxes[..., i + 2], side, regions[..., i], regions[..., i + 2], size)
        for i in (1, 0)
    )
    return ops.matmul(ops.matmul(down, masks), ops.swapaxes(across, -1, -2))


def _overlap(start, end, count, first, last, size):
    """How much of each of `size` parts of first..last each of `count` parts of start..end is.

    Returns (..., size, count); the numbers (...) are pixels.
    """
    parts, cells = np.arange(count, dtype="float32"), np.arange(size, dtype="float32")
    step = ops.maximum(end - start, 1e-6)[..., None, None] / count
    cell = ops.maximum(last - first, 1e-6)[..., None, None] / size
    left, right = start[..., None, None] + parts * step, start[..., None, None] + (parts + 1) * step
    low = first[..., None, None] + cells[:, None] * cell
    shared = ops.minimum(right, low + cell) - ops.maximum(left, low)
    return ops.maximum(shared, 0.0) / cell


def paste(masks, boxes, height, width):
    """Masks of boxes in the pixels of their image.

    The value of a pixel is that at its centre, interpolated between the centres of the four nearest
    places of the mask; beyond the outermost ones it falls to 0 within a place.

    Args:
        masks: float tensor (B, N, S, S).
        boxes: float tensor (B, N, 4), xyxy pixels.
        height: int or integer scalar tensor H.
        width: likewise W.

    Returns:
        A float32 tensor (B, N, H, W).

    Example:

    >>> paste(masks, boxes, 480, 640) >= 0.5
    """
    side = masks.shape[-1]
    down = _hats(boxes[..., 1], boxes[..., 3], side, height)  # (B, N, H, S)
    across = _hats(boxes[..., 0], boxes[..., 2], side, width)  # (B, N, W, S)
    return ops.matmul(ops.matmul(down, masks), ops.swapaxes(across, -1, -2))


def _hats(start, end, count, length):
    """What each of `count` places of start..end adds to each of `length` pixels, (..., H, S)."""
    pixels = ops.cast(ops.arange(length), "float32")[:, None] + 0.5
    size = ops.maximum(end - start, 1e-6)[..., None, None]
    place = (pixels - start[..., None, None]) / size * count - 0.5
    return ops.maximum(1 - ops.abs(place - np.arange(count, dtype="float32")), 0.0)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class MaskOfClass(keras.layers.Layer):
    """Of the masks of all classes that of the class which was found, as probabilities.

    Input: `[logits (B * N, S, S, K), classes int32 (B, N), -1 where there is nothing]`.
    Output shape: (B, N, S, S), float32; zeros where there is nothing.

    Example:

    >>> MaskOfClass()([logits, detections["classes"]])
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs):
        """The masks."""
        logits, classes = inputs
        rows, height, width, _ = ops.shape(logits)
        index = ops.reshape(ops.maximum(classes, 0), (-1, 1, 1, 1))  # (B * N, 1, 1, 1)
        index = ops.broadcast_to(index, (rows, height, width, 1))
        chosen = ops.sigmoid(ops.take_along_axis(logits, index, -1))
        # (B * N, S, S, 1) -> (B, N, S, S)
        masks = ops.reshape(chosen, (-1, classes.shape[1], *logits.shape[1:3]))
        return ops.where(classes[..., None, None] >= 0, masks, 0.0)

    def compute_output_shape(self, input_shape):
        """The shape of the classes, then that of a mask."""
        logits, classes = input_shape
        return (*classes, *logits[1:3])


@keras.saving.register_keras_serializable(package="keras_regionvit")
class PastedMasks(keras.layers.Layer):
    """The pixels of an image that belong to each object, see `paste`.

    Args:
        threshold: float on 0..1, from which on a pixel belongs to it.

    Input: `[image (B, H, W, channels), boxes (B, N, 4), masks (B, N, S, S)]`.
    Output shape: bool (B, N, H, W).

    Example:

    >>> PastedMasks()([images, detections["boxes"], detections["box_masks"]])
    """

    def __init__(self, threshold=THRESHOLD, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.threshold = threshold

    def call(self, inputs):
        """The masks."""
        image, boxes, masks = inputs
        _, height, width, _ = ops.shape(image)
        return paste(masks, boxes, height, width) >= self.threshold

    def compute_output_spec(self, inputs):
        """Of the image's size."""
        image, boxes, _ = inputs
        return keras.KerasTensor((*boxes.shape[:2], *image.shape[1:3]), "bool")

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "threshold": self.threshold}
