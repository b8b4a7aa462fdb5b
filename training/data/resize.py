"""Bicubic resize for training: the figures of `tf.image.resize(antialias=True)`, in less time.

Rows of the result lie in blocks; a block sees a short run of the picture's rows, so it is the
product of a small matrix of weights and that run. Then the same along the columns.

H, W: of the picture; S: side of the result; n: blocks; b: rows in a block; k: length of a run.
"""

import tensorflow as tf

BLOCK = 16


def resize_square(image, size):
    """Resizes a picture to a square, bicubic with antialiasing.

    Args:
        image: uint8 (H, W, C), C static.
        size: S.

    Returns:
        float32 (S, S, C), whole numbers on 0..255.

    Example:

    >>> resize_square(photo, 224)
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    channels = image.shape[-1]
    image = tf.reshape(tf.cast(image, tf.float32), (height, width * channels))
    image = tf.reshape(_along_first(image, height, size), (size, width, channels))
    image = tf.reshape(tf.transpose(image, (1, 0, 2)), (width, size * channels))
    image = tf.reshape(_along_first(image, width, size), (size, size, channels))
    return tf.clip_by_value(tf.floor(tf.transpose(image, (1, 0, 2)) + 0.5), 0, 255)


def _along_first(image, length, size):
    """From float32 (length, ...) to (size, ...)."""
    weights, places = block_weights(length, size)
    blocks = tf.matmul(weights, tf.gather(image, places))  # (n, b, k) @ (n, k, ...)
    return tf.reshape(blocks, (-1, tf.shape(image)[1]))[:size]


def block_weights(length, size, block=BLOCK):
    """What each pixel of the result takes from which pixels, along one axis.

    Args:
        length: pixels of the picture, int32 scalar tensor.
        size: pixels of the result, int.
        block: b.

    Returns:
        `(weights float32 (n, b, k), places int32 (n, k))`; weights of a pixel sum to 1.

    Example:

    >>> weights, places = block_weights(tf.constant(300), 224)
    """
    scale = tf.cast(length, tf.float32) / size
    stretch = tf.maximum(scale, 1.0)
    count = -(-size // block)
    middle = (tf.range(count * block, dtype=tf.float32) + 0.5) * scale
    middle = tf.reshape(tf.minimum(middle, tf.cast(length, tf.float32)), (count, block))
    first = tf.cast(tf.maximum(tf.floor(middle[:, 0] - 2 * stretch), 0), tf.int32)
    last = tf.cast(tf.math.ceil(middle[:, -1] + 2 * stretch), tf.int32)
    run = tf.range(tf.reduce_max(last - first))
    places = first[:, None] + run  # (n, k)
    distance = (tf.cast(places, tf.float32) + 0.5)[:, None, :] - middle[:, :, None]
    weights = cubic(distance / stretch)
    weights *= tf.cast(places < length, tf.float32)[:, None, :]
    weights /= tf.reduce_sum(weights, axis=-1, keepdims=True)
    return weights, tf.minimum(places, length - 1)


def cubic(distance):
    """Keys' cubic kernel with a = -0.5, which Pillow and TensorFlow use."""
    x = tf.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return tf.where(x < 1, near, tf.where(x < 2, far, 0.0))
