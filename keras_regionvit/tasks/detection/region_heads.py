"""What two-stage detectors say of a region: its class and box, its mask, its keypoints.

N regions of a batch, S places a side of what ROIAlign gives, D channels, K classes.
"""

import keras
from keras import ops

POOLED, POOLED_FOR_SHAPES = 7, 14  # places a side: for classes and boxes; for masks and keypoints
MASK_SIZE = HEATMAP_SIZE = 2 * POOLED_FOR_SHAPES
MASK_DEPTH, KEYPOINT_DEPTH = 4, 8
# The names of the layers, which loading knows them by.
BOX_DENSE, BOX_SCORES, BOX_DELTAS = "region_fc{}", "region_scores", "region_deltas"
MASK_CONV, MASK_DECONV, MASK_LOGITS = "mask_conv{}", "mask_deconv", "mask_logits"
KEYPOINT_CONV, KEYPOINT_DECONV = "keypoint_conv{}", "keypoint_deconv"


def box_head(num_classes, width, head_width, dtype=None):
    """Scores of the classes and a box for each of them.

    Args:
        num_classes: int K.
        width: int D, channels of a region.
        head_width: int, of the two dense layers.
        dtype: dtype policy of these; the last layers are float32.

    Returns:
        A functional model: (N, 7, 7, D) to `(logits (N, K + 1), deltas (N, 4 * K))`. The last class
        is the background; the four deltas of a class are together.

    Example:

    >>> scores, deltas = box_head(80, 256, 1024)(regions)
    """
    region = keras.Input((POOLED, POOLED, width), name="region")
    x = keras.layers.Flatten(name="box_flatten")(region)
    uniform = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform")
    for i in (1, 2):
        name = BOX_DENSE.format(i)
        x = keras.layers.Dense(
            head_width, activation="relu", kernel_initializer=uniform, name=name, dtype=dtype
        )(x)
    scores = _last_dense(num_classes + 1, 0.01, BOX_SCORES)(x)
    deltas = _last_dense(4 * num_classes, 0.001, BOX_DELTAS)(x)
    return keras.Model(region, (scores, deltas), name="box_head")


def mask_head(num_classes, width, dtype=None):
    """A mask for each class.

    Args:
        num_classes: int K.
        width: int D, channels of a region and of the convolutions.
        dtype: dtype policy of these; the last layer is float32.

    Returns:
        A functional model: (N, 14, 14, D) to logits (N, 28, 28, K).
    """
    region = x = keras.Input((POOLED_FOR_SHAPES, POOLED_FOR_SHAPES, width), name="region")
    for i in range(1, MASK_DEPTH + 1):
        x = _convolution(width, MASK_CONV.format(i), dtype)(x)
    x = keras.layers.Conv2DTranspose(
        width, 2, 2, activation="relu", kernel_initializer=_he(), name=MASK_DECONV, dtype=dtype
    )(x)
    small = keras.initializers.RandomNormal(stddev=0.001)
    logits = keras.layers.Conv2D(
        num_classes, 1, kernel_initializer=small, name=MASK_LOGITS, dtype="float32"
    )(x)
    return keras.Model(region, logits, name="mask_head")


def keypoint_head(num_keypoints, width, head_width, dtype=None):
    """A heatmap for each keypoint, of half the size that is decoded.

    Args:
        num_keypoints: int K.
        width: int D, channels of a region.
        head_width: int, of the convolutions.
        dtype: dtype policy of these; the last layer is float32.

    Returns:
        A functional model: (N, 14, 14, D) to logits (N, 28, 28, K).
    """
    region = x = keras.Input((POOLED_FOR_SHAPES, POOLED_FOR_SHAPES, width), name="region")
    for i in range(1, KEYPOINT_DEPTH + 1):
        x = _convolution(head_width, KEYPOINT_CONV.format(i), dtype)(x)
    logits = keras.layers.Conv2DTranspose(
        num_keypoints,
        4,
        2,
        padding="same",
        kernel_initializer=_he(),
        name=KEYPOINT_DECONV,
        dtype="float32",
    )(x)
    return keras.Model(region, logits, name="keypoint_head")


def enlarged(heatmaps):
    """Heatmaps (N, 28, 28, K) at the size they are decoded at, (N, 56, 56, K), bilinear."""
    side = 2 * HEATMAP_SIZE
    return ops.image.resize(
        heatmaps, (side, side), interpolation="bilinear", data_format="channels_last"
    )


def _convolution(filters, name, dtype):
    return keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        activation="relu",
        kernel_initializer=_he(),
        name=name,
        dtype=dtype,
    )


def _last_dense(units, deviation, name):
    normal = keras.initializers.RandomNormal(stddev=deviation)
    return keras.layers.Dense(units, kernel_initializer=normal, name=name, dtype="float32")


def _he():
    """As detectron2's: normal, variance 2 / fan-out."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
