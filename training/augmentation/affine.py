"""Affine maps of the plane, as geometric transforms move what an image shows.

A map is float32 (2, 3), [[a, b, c], [d, e, f]], and sends (x, y) to (a x + b y + c, d x + e y + f).
Coordinates are continuous: pixel i of a row spans [i, i + 1), its middle lies at i + 0.5, and an
image of W by H pixels spans [0, W) x [0, H). Boxes are xyxy: left, top, right, bottom.
"""

import math

import tensorflow as tf


def stretch(scale, offset):
    """(x, y) to (x, y) * scale + offset, both float32 (2,)."""
    return tf.concat([tf.linalg.diag(scale), offset[:, None]], axis=1)


def mirror(width):
    """Left to right within an image of so many columns, an int or int32 ()."""
    return stretch(tf.constant([-1.0, 1.0]), tf.stack([tf.cast(width, tf.float32), 0.0]))


def motion(numbers, size):
    """What the functions of `geometry` do, of which a row names one at most.

    Args:
        numbers: float32 (n, 5): the degrees of `rotate`, the factors of `shear_x` and `shear_y`,
            the fractions of `translate_x` and `translate_y`. All but one of a row are 0.
        size: rows and columns of the image, ints or int32.

    Returns:
        float32 (n, 2, 3). These functions say where a pixel comes from, the maps where it goes.
    """
    degrees, shear_x, shear_y, translate_x, translate_y = tf.unstack(numbers, axis=1)
    height, width = (tf.cast(side, tf.float32) for side in size)
    angle = degrees * (math.pi / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    x, y = width / 2, height / 2  # turns are about the middle
    across = [cos, sin - shear_x, x - cos * x - sin * y - translate_x * width]
    down = [-sin - shear_y, cos, y + sin * x - cos * y - translate_y * height]
    return tf.reshape(tf.stack(across + down, axis=-1), (-1, 2, 3))


def determinant(matrix):
    """By how much areas grow, float32 (...) of maps (..., 2, 3); below 0 where one mirrors."""
    return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]


def inverse(matrix):
    """The map that undoes `matrix`, whose determinant is not 0."""
    linear = tf.linalg.inv(matrix[:, :2])
    return tf.concat([linear, -tf.matmul(linear, matrix[:, 2:])], axis=1)


def compose(first, second):
    """The map that does `first`, then `second`."""
    return tf.matmul(second[:, :2], first) + tf.pad(second[:, 2:], [[0, 0], [2, 0]])


def moved(matrix, x, y):
    """Where points lie: `(x, y)` for such tensors of any one shape."""
    across, down = tf.unstack(matrix)
    return [row[0] * x + row[1] * y + row[2] for row in (across, down)]


def boxes_of(matrix, boxes):
    """The smallest upright boxes around moved ones, float32 (..., 4)."""
    left, top, right, bottom = tf.unstack(boxes, axis=-1)
    x, y = moved(matrix, tf.stack([left, left, right, right]), tf.stack([top, bottom, top, bottom]))
    sides = [reduce(side, axis=0) for reduce in (tf.reduce_min, tf.reduce_max) for side in (x, y)]
    return tf.stack(sides, axis=-1)


def within(boxes, window):
    """Boxes (..., 4) cut off at one box (4,); of one outside, an edge is left, without area."""
    low, high = tf.tile(window[:2], [2]), tf.tile(window[2:], [2])
    return tf.minimum(tf.maximum(boxes, low), high)


def inside(x, y, size):
    """Whether points lie in an image of int32 (2,) rows and columns, boolean like x and y."""
    height, width = tf.unstack(tf.cast(size, tf.float32))
    return (x >= 0) & (x < width) & (y >= 0) & (y < height)


def whole(size):
    """The box of an image of int32 (2,) rows and columns, float32 (4,)."""
    return tf.concat([tf.zeros((2,)), tf.reverse(tf.cast(size, tf.float32), [0])], axis=0)


def area(boxes):
    """Pixels of boxes (..., 4), float32 (...)."""
    return tf.reduce_prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
