"""The feature pyramid network on the maps of a backbone (paper, appendix A.2 and A.3).

B images, h w a map's size, C channels of a map, D channels of the pyramid.
"""

import keras
from keras import ops

WIDTH = 256
# The names of the layers, which loading knows them by.
LATERAL = "fpn_lateral{}"
OUTPUT = "fpn_output{}"
P6, P7 = "fpn_p6", "fpn_p7"


def pyramid_of(backbone, first, last=5):
    """The part of a backbone that makes some levels of its pyramid.

    Args:
        backbone: a functional `keras.Model` with `pyramid_outputs`, `{"P2": Keras tensor, ...}`,
            such as a `RegionViTBackbone` or a backbone of keras_hub.
        first: int, the first level.
        last: int, the last level.

    Returns:
        A functional model of the same name: images to `{"P3": (B, h, w, C), ...}`.

    Raises:
        ValueError: the backbone has no such levels.

    Example:

    >>> pyramid_of(backbone, 3)(images)["P3"]
    """
    known = getattr(backbone, "pyramid_outputs", None)
    if not known:
        raise ValueError(
            "`backbone` must have `pyramid_outputs`, as a RegionViTBackbone has. "
            f"Received: {type(backbone).__name__}"
        )
    wanted = [f"P{level}" for level in range(first, last + 1)]
    if lacking := [level for level in wanted if level not in known]:
        raise ValueError(
            f"`backbone` must have the levels {wanted[0]} to {wanted[-1]} of a pyramid. "
            f"Received one without {', '.join(lacking)}"
        )
    levels = {level: known[level] for level in wanted}
    return keras.Model(backbone.input, levels, name=backbone.name)


def feature_pyramid(maps, width=WIDTH, dtype=None):
    """Maps of all levels with the same channels, each with what the coarser ones know.

    Args:
        maps: `{"P2": Keras tensor (B, h, w, C), ...}`, from fine to coarse.
        width: int D.
        dtype: dtype policy of the layers.

    Returns:
        `{2: Keras tensor (B, h, w, D), ...}`, by level.
    """
    levels = [int(name.removeprefix("P")) for name in maps]
    sides = {
        level: convolution(width, 1, name=LATERAL.format(level), dtype=dtype)(maps[f"P{level}"])
        for level in levels
    }
    summed = {levels[-1]: sides[levels[-1]]}
    for level in levels[-2::-1]:
        merge = AddUpsampled(name=f"fpn_sum{level}", dtype=dtype)
        summed[level] = merge([sides[level], summed[level + 1]])
    return {
        level: convolution(width, 3, padding="same", name=OUTPUT.format(level), dtype=dtype)(
            summed[level]
        )
        for level in levels
    }


def coarser_levels(last, width=WIDTH, dtype=None):
    """Levels 6 and 7 of a RetinaNet, from the backbone's last map.

    Args:
        last: Keras tensor (B, h, w, C), the backbone's level 5.
        width: int D.
        dtype: dtype policy of the layers.

    Returns:
        `{6: (B, h / 2, w / 2, D), 7: (B, h / 4, w / 4, D)}`, rounded up.
    """
    levels, x = {}, last
    for level, name in ((6, P6), (7, P7)):
        x = keras.layers.ZeroPadding2D(1, name=f"{name}_padding", dtype=dtype)(x)
        x = convolution(width, 3, strides=2, name=name, dtype=dtype)(x)
        levels[level] = x
        x = keras.layers.ReLU(name=f"{name}_relu", dtype=dtype)(x) if level == 6 else x
    return levels


def convolution(filters, kernel_size, **kwargs):
    """A Conv2D that begins as those of detectron2's pyramid: uniform, variance 1 / (3 fan-in)."""
    uniform = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform")
    return keras.layers.Conv2D(filters, kernel_size, kernel_initializer=uniform, **kwargs)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class AddUpsampled(keras.layers.Layer):
    """A fine map plus a coarse one of half its size, rounded up, each value repeated twice.

    Input shape: [(B, h, w, D), (B, ceil(h / 2), ceil(w / 2), D)]. Output shape: (B, h, w, D).

    Example:

    >>> AddUpsampled()([keras.ops.ones((1, 5, 4, 8)), keras.ops.ones((1, 3, 2, 8))]).shape
    TensorShape([1, 5, 4, 8])
    """

    def call(self, inputs):
        """The sum."""
        fine, coarse = inputs
        _, height, width, _ = ops.shape(fine)
        twice = ops.repeat(ops.repeat(coarse, 2, axis=1), 2, axis=2)
        return fine + twice[:, :height, :width]

    def compute_output_shape(self, input_shape):
        """That of the fine map."""
        return input_shape[0]
