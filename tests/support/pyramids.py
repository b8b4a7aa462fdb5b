"""Backbones of a few convolutions, for tests of what stands on a backbone."""

import keras


def conv_backbone(widths=(4, 6, 8, 10), first=2, dtype=None, norm=False):
    """A functional model with `pyramid_outputs` of levels 2 to 5: a convolution a level."""
    image = keras.Input((None, None, 3), name="image")
    x, levels = image, {}
    for i, width in enumerate(widths):
        stride = 2**first if i == 0 else 2
        x = keras.layers.ZeroPadding2D(1)(x)
        x = keras.layers.Conv2D(width, 3, strides=stride, activation="relu", dtype=dtype)(x)
        levels[f"P{first + i}"] = x
    model = keras.Model(image, levels, name="backbone")
    model.pyramid_outputs = levels
    return model
