"""The region proposal network: what every anchor of a pyramid says of itself, and how it learns.

B images, h w a map's size, D channels, A anchors a place, N objects of an image, padded, M anchors
of all levels.
"""

import keras
from keras import ops

from keras_regionvit.tasks.detection import boxes as box_ops
from keras_regionvit.tasks.detection.anchors import RATIOS, level_anchors
from keras_regionvit.tasks.detection.losses import binary_loss, l1_loss
from keras_regionvit.tasks.detection.matching import NO_OBJECT, match
from keras_regionvit.tasks.detection.sampling import sample

LEVELS = (2, 3, 4, 5, 6)
BACKGROUND_BELOW, OBJECT_FROM = 0.3, 0.7  # intersections over union of anchors
SAMPLED, OBJECTS_SHARE = 256, 0.5  # anchors of an image that a step learns from
# The names of the layers, which loading knows them by.
CONV, OBJECTNESS, DELTAS = "rpn_conv", "rpn_objectness", "rpn_deltas"


def anchor_sizes(level):
    """The sizes of the anchors on a level: one, eight strides.

    Args:
        level: int, log2 of the stride.

    Returns:
        A float in pixels, in a tuple.

    Example:

    >>> anchor_sizes(2)
    (32.0,)
    """
    return (8.0 * 2**level,)


def rpn_head(levels, width, dtype=None):
    """Objectness and boxes of every anchor, by layers that all levels share.

    Args:
        levels: `{2: Keras tensor (B, h, w, D), ...}`.
        width: int, channels of the convolution.
        dtype: dtype policy of the convolution; the last layers are float32.

    Returns:
        `{"p2_objectness": (B, h, w, A), "p2_deltas": (B, h, w, A * 4), ...}`, Keras tensors. The
        channels of an anchor are together.
    """
    kernel = keras.initializers.RandomNormal(stddev=0.01)
    options = {"kernel_initializer": kernel, "padding": "same"}
    conv = keras.layers.Conv2D(width, 3, activation="relu", name=CONV, dtype=dtype, **options)
    options["dtype"] = "float32"
    objectness = keras.layers.Conv2D(len(RATIOS), 1, name=OBJECTNESS, **options)
    deltas = keras.layers.Conv2D(4 * len(RATIOS), 1, name=DELTAS, **options)
    outputs = {}
    for level, maps in levels.items():
        x = conv(maps)
        outputs[f"p{level}_objectness"] = objectness(x)
        outputs[f"p{level}_deltas"] = deltas(x)
    return outputs


def anchors_and_outputs(outputs):
    """What the head says, a level at a time.

    Args:
        outputs: as of `rpn_head`, tensors.

    Returns:
        A list of `(anchors (M', 4), objectness (B, M'), deltas (B, M', 4))`, one a level, float32.
    """
    found = []
    for level in LEVELS:
        x = ops.cast(outputs[f"p{level}_objectness"], "float32")
        batch, rows, columns, each = ops.shape(x)
        anchors = level_anchors(rows, columns, 2**level, anchor_sizes(level))
        objectness = ops.reshape(x, (batch, rows * columns * each))  # from (B, h, w, A)
        deltas = ops.cast(outputs[f"p{level}_deltas"], "float32")
        # (B, h, w, A * 4) -> (B, h * w * A, 4)
        found.append((anchors, objectness, ops.reshape(deltas, (batch, rows * columns * each, 4))))
    return found


def rpn_losses(boxes, real, outputs, seeds):
    """The losses of the proposals.

    Of an image `SAMPLED` anchors count, drawn by its seed, at most half of them with an object;
    their losses are divided by `SAMPLED`.

    Args:
        boxes: float tensor (B, N, 4), xyxy pixels.
        real: bool tensor (B, N), False for padding.
        outputs: as of `rpn_head`, tensors.
        seeds: int32 tensor (B,).

    Returns:
        `{"objectness_loss": (B,), "proposal_loss": (B,)}`, float32.
    """
    levels = zip(*anchors_and_outputs(outputs), strict=True)
    anchors, objectness, deltas = (
        ops.concatenate(parts, axis) for parts, axis in zip(levels, (0, 1, 1), strict=True)
    )

    def found_in(image):
        boxes, real = image
        return match(boxes, real, anchors, BACKGROUND_BELOW, OBJECT_FROM)

    # image by image: all pairs of 16 images would take gigabytes
    found = ops.map(found_in, (boxes, real))  # (B, M)
    positive, negative = found >= 0, found == NO_OBJECT
    chosen, counts = sample(positive, negative, seeds, SAMPLED, OBJECTS_SHARE)
    found = ops.take_along_axis(found, chosen, 1)  # (B, SAMPLED)
    with_object = counts & (found >= 0)
    said = ops.take_along_axis(objectness, chosen, 1)
    objectness_loss = binary_loss(ops.cast(with_object, "float32"), said)
    # a row more for images without any object to point to
    boxes = ops.pad(boxes, [(0, 0), (0, 1), (0, 0)])
    wanted = ops.take_along_axis(boxes, ops.maximum(found, 0)[..., None], 1)
    target = box_ops.encode(wanted, ops.take(anchors, chosen, axis=0))
    box_loss = ops.sum(l1_loss(target, ops.take_along_axis(deltas, chosen[..., None], 1)), -1)
    return {
        "objectness_loss": ops.sum(ops.where(counts, objectness_loss, 0.0), 1) / SAMPLED,
        "proposal_loss": ops.sum(ops.where(with_object, box_loss, 0.0), 1) / SAMPLED,
    }
