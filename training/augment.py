"""Augmentation: functions of one image and its seed, without any state.

The seed of an image in an epoch is made of `(seed, epoch, index)`, see `data/batches.py`;
so a run can be repeated, and the work spread over threads in any way.
"""

import tensorflow as tf


def flip_and_shift(image, seed, pixels=2):
    """Mirrors an image left to right, every second on average, and shifts it.

    The shift is drawn evenly from -pixels..pixels along each axis; black fills the gap.

    Args:
        image: (H, W, channels) of any dtype, static shape.
        seed: int32 (2,).
        pixels: greatest shift, int.

    Returns:
        An image of the same shape and dtype.

    Example:

    >>> flip_and_shift(image, seed=[0, 7])
    """
    height, width, channels = image.shape
    draws = tf.random.stateless_uniform((3,), seed)
    image = tf.cond(draws[0] < 0.5, lambda: image, lambda: tf.reverse(image, [1]))
    padded = tf.pad(image, [[pixels, pixels], [pixels, pixels], [0, 0]])
    offset = tf.cast(draws[1:] * (2 * pixels + 1), tf.int32)
    return tf.slice(padded, [offset[0], offset[1], 0], [height, width, channels])
