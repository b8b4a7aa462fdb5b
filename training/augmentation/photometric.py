"""Photometric distortion, as detectors and segmenters learn with it (SSD, mmsegmentation).

H, W: rows and columns of an image; C: channels.
"""

import tensorflow as tf

from training.augmentation.seeds import uniform

BRIGHTNESS = 32.0  # added at most, on 0..255
CONTRAST = SATURATION = (0.5, 1.5)
HUE = 36.0  # degrees at most


def photometric(image, seed):
    """An image whose brightness, contrast, saturation and hue are changed.

    Each change happens to half of the images. Contrast comes second or last, as often; it is a
    factor on all values, as is saturation, in HSV. Values are cut to 0..255 after each change. A
    grey image has neither saturation nor hue.

    Args:
        image: uint8 or float32 (H, W, C) on 0..255, C = 3 or 1.
        seed: int32 (2,).

    Returns:
        float32 (H, W, C) on 0..255.

    Example:

    >>> photometric(photo, tf.constant([0, 7]))
    """
    draws = uniform(seed, (9,))
    happens, sizes, late = draws[:4] < 0.5, draws[4:8], draws[8] < 0.5
    image = tf.cast(image, tf.float32)

    def between(number, least, greatest):
        return least + (greatest - least) * sizes[number]

    added = tf.where(happens[0], between(0, -BRIGHTNESS, BRIGHTNESS), 0.0)
    factor = tf.where(happens[1], between(1, *CONTRAST), 1.0)
    first, last = tf.where(late, 1.0, factor), tf.where(late, factor, 1.0)
    image = _cut(_cut(image + added) * first)
    if image.shape[-1] == 3:
        image = tf.cond(
            happens[2] | happens[3],
            lambda: _coloured(
                image,
                tf.where(happens[2], between(2, *SATURATION), 1.0),
                tf.where(happens[3], between(3, -HUE, HUE), 0.0),
            ),
            lambda: image,
        )
    return _cut(image * last)


def _coloured(image, factor, degrees):
    """Saturation times `factor`, cut at 1, and the hue turned."""
    hue, saturation, value = tf.unstack(tf.image.rgb_to_hsv(image / 255), axis=-1)
    hue = tf.math.floormod(hue + degrees / 360, 1.0)
    saturation = tf.minimum(saturation * factor, 1.0)
    return tf.image.hsv_to_rgb(tf.stack([hue, saturation, value], axis=-1)) * 255


def _cut(image):
    return tf.clip_by_value(image, 0.0, 255.0)
