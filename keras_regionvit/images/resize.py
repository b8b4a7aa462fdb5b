"""Bicubic resize with antialiasing in whole numbers, as Pillow and torchvision do it.

H, W: rows and columns of an image; S: side of the square that comes out.
"""

import tensorflow as tf


def center_crop(image, size, shorter):
    """Resizes the shorter side to `shorter` pixels and cuts the middle square out.

    Only the pixels of the square are computed; rounding follows torchvision.

    Args:
        image: uint8 (H, W, C).
        size: S, at most `shorter`.
        shorter: pixels of the shorter side before the cut.

    Returns:
        float32 (S, S, C), whole numbers on 0..255.

    Raises:
        ValueError: `size` is not in 1..`shorter`.

    Example:

    >>> center_crop(photo, 224, shorter=256)
    """
    if not 1 <= size <= shorter:
        raise ValueError(f"`size` must lie between 1 and {shorter}. Received: {size}")
    sides = tf.shape(image)[:2]  # H, W
    resized = shorter * sides // tf.reduce_min(sides)
    first = tf.cast(tf.round(tf.cast(resized - size, tf.float32) / 2), tf.int32)  # half to even
    return resize_bicubic(image, (size, size), resized, first)


def resize_bicubic(image, window, resized=None, first=(0, 0)):
    """Bicubic resize with antialiasing, in whole numbers as Pillow does it.

    Args:
        image: uint8 (H, W, C).
        window: rows and columns to compute.
        resized: rows and columns of the whole resized image; `window` if None.
        first: row and column of the resized image at which the window begins.

    Returns:
        float32 (*window, C), whole numbers on 0..255.

    Example:

    >>> resize_bicubic(photo, (224, 224))
    """
    rows, columns = window
    sides = tf.shape(image)[:2]
    scale = tf.cast(window if resized is None else resized, tf.float32) / tf.cast(sides, tf.float32)
    first = tf.cast(first, tf.float32)
    # Columns, then rows, each rounded, as in Pillow
    image = _resample(image, (sides[0], columns), (1.0, scale[1]), (0.0, -first[1]))
    image = _resample(image, (rows, columns), (scale[0], 1.0), (-first[0], 0.0))
    return tf.ensure_shape(image, (rows, columns, image.shape[-1]))


def _resample(image, size, scale, translation):
    resampled = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=tf.stack(size),
        scale=tf.stack(scale),
        translation=tf.stack(translation),
        kernel_type="keyscubic",
        antialias=True,
    )
    return tf.clip_by_value(tf.floor(resampled[0] + 0.5), 0, 255)
