"""RetinaNet's head: one tower for classes and one for boxes, shared by all levels.

B images, h w a map's size, D channels, A anchors a place, K classes.
"""

import functools
import math

import keras

TOWER_DEPTH = 4
INITIALIZERS = {
    "normal": functools.partial(keras.initializers.RandomNormal, stddev=0.01),
    "he_normal": keras.initializers.HeNormal,
}
PRIOR = 0.01  # probability of an object that every anchor begins with
# The names of the layers, which loading knows them by.
CLASS_TOWER, BOX_TOWER = "class_tower{}", "box_tower{}"
CLASS_LOGITS, BOX_DELTAS = "class_logits", "box_deltas"


def retinanet_head(levels, num_classes, anchors, width, initializer="normal", dtype=None):
    """Scores and boxes of every anchor.

    Args:
        levels: `{3: Keras tensor (B, h, w, D), ...}`.
        num_classes: int K.
        anchors: int A.
        width: int, channels of the towers.
        initializer: of `INITIALIZERS`, for the towers' kernels.
        dtype: dtype policy of the towers; the last layers are float32.

    Returns:
        `{"p3_logits": (B, h, w, A * K), "p3_deltas": (B, h, w, A * 4), ...}`, Keras tensors. The
        channels of an anchor are together.
    """
    towers = {
        name: [
            _convolution(width, initializer=initializer, name=name.format(i), dtype=dtype)
            for i in range(TOWER_DEPTH)
        ]
        for name in (CLASS_TOWER, BOX_TOWER)
    }
    prior = keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR))
    last = {
        CLASS_TOWER: _convolution(
            anchors * num_classes, prior, activation=None, name=CLASS_LOGITS, dtype="float32"
        ),
        BOX_TOWER: _convolution(anchors * 4, activation=None, name=BOX_DELTAS, dtype="float32"),
    }
    outputs = {}
    for level, maps in levels.items():
        for kind, tower in (("logits", CLASS_TOWER), ("deltas", BOX_TOWER)):
            x = maps
            for layer in (*towers[tower], last[tower]):
                x = layer(x)
            outputs[f"p{level}_{kind}"] = x
    return outputs


def _convolution(filters, bias="zeros", activation="relu", initializer="normal", **kwargs):
    return keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        activation=activation,
        kernel_initializer=INITIALIZERS[initializer](),
        bias_initializer=bias,
        **kwargs,
    )
