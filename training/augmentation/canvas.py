"""Whole images on a canvas, for tasks in which all that is seen counts: scaled, cut and mirrored.

H, W: rows and columns of an image; h, w: of the canvas; C: channels. A `size` is an int, the side
of a square, or a pair (h, w).
"""

import tensorflow as tf

from keras_regionvit.images.canvas import (
    canvas_sides,
    fitted_sides,
    on_canvas,
    scaled_sides,
    turned,
)
from keras_regionvit.images.decode import decode_image
from training.augmentation import affine
from training.augmentation.placement import placed


def evaluation_canvas(image, *, size, fill, keep_aspect=True):
    """An image on a canvas as evaluation has it, and where it went.

    Args:
        image: string scalar (encoded) or uint8 (H, W, C).
        size: of the canvas.
        fill: C numbers, the colour beside the image.
        keep_aspect: whether rows and columns are scaled alike; else the image fills the canvas.

    Returns:
        `(canvas, placement)`: float32 (h, w, C) on 0..255, and the `Placement` of the image given.

    Example:

    >>> canvas, placement = evaluation_canvas(data, size=320, fill=(0.0, 0.0, 0.0))
    """
    image = _decoded(image, len(fill))
    sides = tf.shape(image)[:2]
    whole = fitted_sides(sides, size, keep_aspect)
    return on_canvas(image, size, whole, fill), _moved(sides, whole, size)


def training_canvas(
    image,
    seed,
    *,
    size,
    fill,
    keep_aspect=True,
    scales=(1.0, 1.0),
    factors=(),
    flip=0.5,
    fit=None,
):
    """An image on a canvas as training has it, and where it went: one draw for all that follows it.

    Args:
        image: string scalar (encoded) or uint8 (H, W, C).
        seed: int32 (2,).
        size: of the canvas.
        fill: C numbers, the colour beside the image.
        keep_aspect: as in `evaluation_canvas`.
        scales: least and greatest factor on the size that evaluation has, drawn evenly; of what
            exceeds the canvas a random part shows.
        factors: factors of which one is drawn in place of `scales`.
        flip: share of the images that are mirrored left to right.
        fit: (shorter, longer) side that an image is resized to fit before it is scaled, turned as
            it lies; the canvas if None.

    Returns:
        As `evaluation_canvas`.

    Example:

    >>> fill = (123.7, 116.3, 103.5)
    >>> canvas, placement = training_canvas(data, seed, size=320, fill=fill, scales=(0.5, 2.0))
    >>> boxes, visible = placement.boxes(boxes)
    """
    image = _decoded(image, len(fill))
    sides = tf.shape(image)[:2]
    draws = tf.random.stateless_uniform((4,), seed)
    if factors:
        scale = tf.gather(factors, tf.cast(draws[0] * len(factors), tf.int32))
    else:
        scale = scales[0] + (scales[1] - scales[0]) * draws[0]
    fitted = fitted_sides(sides, turned(fit, sides) if fit else size, keep_aspect)
    whole, size = scaled_sides(fitted, scale), canvas_sides(size)
    beyond = tf.maximum(whole - size, 0)
    first = tf.cast(tf.floor(draws[1:3] * tf.cast(beyond + 1, tf.float32)), tf.int32)
    mirrored = draws[3] < flip
    canvas = on_canvas(image, size, whole, fill, first, mirrored)
    placement = _moved(sides, whole, size, first)
    width = tf.minimum(whole[1], size[1])
    same = affine.stretch(tf.ones((2,)), tf.zeros((2,)))
    step = tf.where(mirrored, affine.mirror(width), same)
    return canvas, placement.then(placed(step[None], size))


def _decoded(image, channels):
    return decode_image(image, channels) if image.dtype == tf.string else image


def _moved(sides, whole, size, first=(0, 0)):
    """The `Placement` of an image of int32 (2,) `sides`, resized to `whole`, from `first` on."""
    scale = tf.cast(whole, tf.float32) / tf.cast(sides, tf.float32)
    offset = -tf.cast(tf.convert_to_tensor(first), tf.float32)
    step = affine.stretch(tf.reverse(scale, [0]), tf.reverse(offset, [0]))
    shown = tf.minimum(whole - first, canvas_sides(size))
    return placed(step[None], tf.unstack(shown)).then(_whole_canvas(size))


def _whole_canvas(size):
    """The placement by a step that moves nothing, onto the canvas."""
    return placed(affine.stretch(tf.ones((2,)), tf.zeros((2,)))[None], canvas_sides(size))
