"""A whole image on a canvas of a fixed size: resized, at the top left, the rest filled.

H, W: rows and columns of an image; S: side of the canvas; C: channels.
"""

import tensorflow as tf


def fitted_sides(sides, size, keep_aspect=True):
    """Rows and columns that an image is resized to, to fit on a canvas.

    Args:
        sides: int32 (2,), rows and columns of the image.
        size: S.
        keep_aspect: whether rows and columns are scaled alike; else both become S.

    Returns:
        int32 (2,), from 1 to S.

    Example:

    >>> fitted_sides(tf.constant([480, 640]), 320).numpy()
    array([240, 320], dtype=int32)
    """
    if not keep_aspect:
        return tf.constant([size, size])
    sides = tf.cast(sides, tf.float32)
    return scaled_sides(sides, size / tf.reduce_max(sides))


def scaled_sides(sides, scale):
    """Rows and columns times `scale`, float32 () or (2,), rounded: int32 (2,), at least 1."""
    return tf.maximum(tf.cast(tf.round(tf.cast(sides, tf.float32) * scale), tf.int32), 1)


def on_canvas(image, size, whole, fill, first=(0, 0), mirrored=False):
    """A part of a resized image on a canvas.

    Args:
        image: uint8 or float32 (H, W, C) on 0..255.
        size: S.
        whole: int32 (2,), rows and columns that the image is resized to, bilinear with
            antialiasing.
        fill: C numbers, the colour beside the image, such as the mean that is subtracted later.
        first: row and column of the resized image that come to the top left.
        mirrored: bool or boolean scalar, whether what shows is mirrored left to right.

    Returns:
        float32 (S, S, C).

    Example:

    >>> on_canvas(photo, 320, fitted_sides(tf.shape(photo)[:2], 320), fill=(0.0, 0.0, 0.0)).shape
    TensorShape([320, 320, 3])
    """
    channels = image.shape[-1]
    resized = tf.image.resize(image, whole, antialias=True)
    shown = tf.minimum(whole - first, size)
    part = tf.slice(
        resized, [*tf.unstack(tf.convert_to_tensor(first)), 0], [*tf.unstack(shown), -1]
    )
    part = tf.where(mirrored, part[:, ::-1], part)
    fill = tf.constant(fill, tf.float32)
    rows, columns = tf.unstack(size - shown)
    canvas = tf.pad(part - fill, [[0, rows], [0, columns], [0, 0]]) + fill
    return tf.ensure_shape(canvas, (size, size, channels))
