"""Bicubic resize for training: the values of `tf.image.resize(antialias=True)`, in less time.

Rows of the result lie in blocks; a block sees a short run of the image's rows, so it is the
product of a small matrix of weights and that run. Then the same along the columns.

H, W: of the image; S: side of the result; n: blocks; b: rows in a block; k: length of a run.
"""

import tensorflow as tf

BLOCK = 16


def resize_square(image, size):
    """Resizes an image to a square, bicubic with antialiasing.

    Args:
        image: uint8 (H, W, C), C static.
        size: S.

    Returns:
        float32 (S, S, C), whole numbers on 0..255.

    Example:

    >>> resize_square(photo, 224)
    """
    shape, channels = tf.shape(image), image.shape[-1]
    weights, places = block_weights(shape[:2], size)
    count, block = weights.shape[1:3]  # n, b
    # Bytes are gathered, a quarter of what floats would be. A product may read its factors
    # transposed at no cost, so rows come out last: what is gathered next then lies together.
    runs = tf.gather(tf.reshape(image, (shape[0], -1)), places[0])  # (n, k, W*C)
    image = tf.matmul(tf.cast(runs, tf.float32), weights[0], transpose_a=True, transpose_b=True)
    image = tf.reshape(image, (count, shape[1], channels * block))
    runs = tf.gather(image, places[1], axis=1)  # (n, n, k, C*b)
    image = tf.matmul(weights[1], runs)  # (n, n, b, C*b): blocks of rows, columns, channels, rows
    image = tf.reshape(image, (count, count, block, channels, block))
    image = tf.transpose(image, (0, 4, 1, 2, 3))
    image = tf.reshape(image, (count * block, count * block, channels))[:size, :size]
    return tf.raw_ops.ClipByValue(t=tf.round(image), clip_value_min=0.0, clip_value_max=255.0)


def block_weights(lengths, size, block=BLOCK):
    """What each pixel of the result takes from which pixels, along some axes.

    Args:
        lengths: pixels of the image along each of the axes, int32 (a,).
        size: pixels of the result along each of them, int.
        block: b.

    Returns:
        `(weights float32 (a, n, b, k), places int32 (a, n, k))`; weights of a pixel sum to 1.

    Example:

    >>> weights, places = block_weights(tf.constant([300, 200]), 224)
    """
    count = -(-size // block)
    last = lengths[:, None] - 1
    lengths = tf.cast(lengths, tf.float32)[:, None]
    scale = lengths / size
    stretch = tf.maximum(scale, 1.0)
    middle = tf.constant([[number + 0.5 for number in range(count * block)]])
    # a part of a block that is beyond the result sees what the last pixel sees
    middle = tf.minimum(middle, size - 0.5) * scale  # (a, n*b)
    middle = tf.reshape(middle, (-1, count, block, 1))
    reach = 2 * stretch
    first = tf.maximum(tf.floor(middle[:, :, 0, 0] - reach), 0)  # (a, n)
    end = tf.minimum(tf.math.ceil(middle[:, :, -1, 0] + reach), lengths)
    places = first[:, :, None] + tf.range(tf.reduce_max(end - first))  # (a, n, k)
    inside = tf.cast(places < lengths[:, None], tf.float32)
    steepness = tf.reshape(1 / stretch, (-1, 1, 1, 1))
    weights = cubic((middle - 0.5 - places[:, :, None]) * steepness) * inside[:, :, None]
    weights /= tf.reduce_sum(weights, axis=-1, keepdims=True)
    return weights, tf.minimum(tf.cast(places, tf.int32), last[:, None])


def cubic(distance):
    """Keys' cubic kernel with a = -0.5, which Pillow and TensorFlow use."""
    outer = tf.nn.relu(2 - tf.abs(distance))
    beyond = outer - 1
    inner = tf.nn.relu(beyond)
    return 0.5 * outer * outer * beyond + inner * inner * (1 - 2 * inner)
