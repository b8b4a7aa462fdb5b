"""A whole image on a canvas of a fixed size: resized, at the top left, the rest filled.

H, W: rows and columns of an image; h, w: of the canvas; C: channels. A `size` is an int, the side
of a square, or a pair (h, w).
"""

import tensorflow as tf


def canvas_sides(size):
    """Rows and columns of a canvas, a pair of ints.

    >>> canvas_sides(320), canvas_sides((672, 1120))
    ((320, 320), (672, 1120))
    """
    return (size, size) if isinstance(size, int) else tuple(size)


def turned(size, sides):
    """The sides of a canvas, turned as an image lies.

    Args:
        size: (shorter, longer) side of the canvas, ints.
        sides: int32 (2,), rows and columns of the image.

    Returns:
        int32 (2,): rows and columns of the canvas, more rows only if the image has more rows.

    Example:

    >>> turned((672, 1120), tf.constant([640, 480])).numpy()
    array([1120, 672], dtype=int32)
    """
    return tf.where(sides[0] > sides[1], size[::-1], size)


def fitted_sides(sides, size, keep_aspect=True):
    """Rows and columns that an image is resized to, to fit on a canvas.

    Args:
        sides: int32 (2,), rows and columns of the image.
        size: of the canvas, an int, a pair or int32 (2,).
        keep_aspect: whether rows and columns are scaled alike; else they become the canvas'.

    Returns:
        int32 (2,), from 1 to the canvas' sides.

    Example:

    >>> fitted_sides(tf.constant([480, 640]), 320).numpy()
    array([240, 320], dtype=int32)
    """
    limits = tf.convert_to_tensor(size if tf.is_tensor(size) else canvas_sides(size), tf.int32)
    if not keep_aspect:
        return limits
    sides = tf.cast(sides, tf.float32)
    return scaled_sides(sides, tf.reduce_min(tf.cast(limits, tf.float32) / sides))


def scaled_sides(sides, scale):
    """Rows and columns times `scale`, float32 () or (2,), rounded: int32 (2,), at least 1."""
    return tf.maximum(tf.cast(tf.round(tf.cast(sides, tf.float32) * scale), tf.int32), 1)


def on_canvas(image, size, whole, fill, first=(0, 0), mirrored=False):
    """A part of a resized image on a canvas.

    Args:
        image: uint8 or float32 (H, W, C) on 0..255.
        size: of the canvas, an int or a pair.
        whole: int32 (2,), rows and columns that the image is resized to, bilinear with
            antialiasing.
        fill: C numbers, the colour beside the image, such as the mean that is subtracted later.
        first: row and column of the resized image that come to the top left.
        mirrored: bool or boolean scalar, whether what shows is mirrored left to right.

    Returns:
        float32 (h, w, C).

    Example:

    >>> on_canvas(photo, 320, fitted_sides(tf.shape(photo)[:2], 320), fill=(0.0, 0.0, 0.0)).shape
    TensorShape([320, 320, 3])
    """
    channels, size = image.shape[-1], canvas_sides(size)
    resized = tf.image.resize(image, whole, antialias=True)
    shown = tf.minimum(whole - first, size)
    part = tf.slice(
        resized, [*tf.unstack(tf.convert_to_tensor(first)), 0], [*tf.unstack(shown), -1]
    )
    part = tf.where(mirrored, part[:, ::-1], part)
    fill = tf.constant(fill, tf.float32)
    rows, columns = tf.unstack(tf.constant(size) - shown)
    canvas = tf.pad(part - fill, [[0, rows], [0, columns], [0, 0]]) + fill
    return tf.ensure_shape(canvas, (*size, channels))
