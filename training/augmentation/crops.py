"""The part of a picture that training sees, decoded no further than needed."""

import math

import tensorflow as tf

from keras_regionvit.images.decode import (
    center_crop,
    decode_image,
    decode_jpeg,
    image_shape,
    with_channels,
)
from training.augmentation.branches import one_of
from training.augmentation.resize import resize_square

CROPS = ("random_resized", "shift", "none")
TRIES = 10
RATIOS = (1, 2, 4, 8)  # at which libjpeg can decode


def training_image(image, seed, *, size, channels, crop, shift_pixels=2):
    """A square of a picture, drawn at random.

    Args:
        image: string scalar (encoded) or uint8 (H, W, channels).
        seed: int32 (2,).
        size: S.
        channels: 3 or 1.
        crop: "random_resized" (8% to 100% of the picture's area, 3:4 to 4:3), "shift" (the middle
            square, moved by up to `shift_pixels` of the result, black filling the gap) or "none"
            (the middle square).
        shift_pixels: greatest shift.

    Returns:
        float32 (S, S, channels), whole numbers on 0..255.

    Example:

    >>> training_image(data, [0, 7], size=224, channels=3, crop="random_resized")
    """
    if crop == "random_resized":
        return resize_square(random_window(image, seed, channels, size), size)
    if image.dtype == tf.string:
        image = decode_image(image, channels)
    image = center_crop(image, size, size)
    return shift(image, seed, shift_pixels) if crop == "shift" else image


def random_window(image, seed, channels, size=None):
    """The pixels of a random window; of a JPEG no others are computed.

    A window of a JPEG that is at least 2, 4 or 8 times as large as needed is decoded at a half, a
    quarter or an eighth, which libjpeg does in less time: means of so many pixels, about, rather
    than the pixels themselves. Pillow's `draft` does the same, timm does not ask for it.

    Args:
        image: string scalar (encoded) or uint8 (H, W, channels).
        seed: int32 (2,).
        channels: 3 or 1.
        size: pixels that a side will be resized to; all pixels are decoded if None.

    Returns:
        uint8 (h, w, channels).
    """
    if image.dtype != tf.string:
        return cut(image, random_box(tf.shape(image)[:2], seed))

    def box_of_jpeg(image, seed):
        return random_box(tf.io.extract_jpeg_shape(image)[:2], seed)

    def box_of_any(image, seed):
        return random_box(image_shape(image), seed)

    def window_of_any(image, box):
        return cut(decode_image(image, channels), box)

    def window_of_jpeg(ratio):
        def window(image, box):
            if ratio == 1:
                return with_channels(decode_jpeg(image, box), channels)
            how = {"channels": 3, "dct_method": "INTEGER_ACCURATE", "ratio": ratio}
            return with_channels(tf.io.decode_and_crop_jpeg(image, box // ratio, **how), channels)

        return window

    # A cut-off JPEG lacks its last two bytes, and must not pass if the window lies above the cut.
    whole = tf.io.is_jpeg(image)
    whole &= tf.strings.substr(image, tf.maximum(tf.strings.length(image) - 2, 0), 2) == b"\xff\xd9"
    box = one_of(tf.cast(whole, tf.int32), [box_of_any, box_of_jpeg], image, seed)
    ratios = RATIOS if size else RATIOS[:1]
    times = tf.reduce_min(box[2:]) // (size or 1)  # how often the result fits into the window
    ratio = sum(tf.cast(times >= ratio, tf.int32) for ratio in ratios[1:])
    ways = [window_of_any, *map(window_of_jpeg, ratios)]
    window = one_of(tf.where(whole, 1 + ratio, 0), ways, image, box)
    return tf.ensure_shape(window, (None, None, channels))


def random_box(shape, seed, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """A random window as torchvision's and timm's RandomResizedCrop draw it.

    Its share of the area is drawn evenly, its ratio of width to height evenly in the logarithm;
    the first of ten draws that fits is taken, else the largest middle window of a ratio allowed.

    Args:
        shape: int32 (2,), rows and columns of the picture.
        seed: int32 (2,).
        area: least and greatest share.
        ratio: least and greatest width / height.

    Returns:
        int32 (4,): first row, first column, rows, columns.

    Example:

    >>> random_box([480, 640], [0, 7])
    """
    sides = tf.cast(shape, tf.float32)
    draws = tf.random.stateless_uniform((4, TRIES), seed)
    pixels = sides[0] * sides[1] * (area[0] + (area[1] - area[0]) * draws[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    shapes = tf.exp(low + (high - low) * draws[1])
    rows, columns = tf.round(tf.sqrt(pixels / shapes)), tf.round(tf.sqrt(pixels * shapes))
    fits = (rows >= 1) & (columns >= 1) & (rows <= sides[0]) & (columns <= sides[1])
    tops = tf.floor(draws[2] * (sides[0] - rows + 1))
    lefts = tf.floor(draws[3] * (sides[1] - columns + 1))
    drawn = tf.stack([tops, lefts, rows, columns])[:, tf.argmax(fits)]

    # none fits: a long and narrow picture
    rows = tf.where(sides[1] / sides[0] < ratio[0], tf.round(sides[1] / ratio[0]), sides[0])
    columns = tf.where(sides[1] / sides[0] > ratio[1], tf.round(sides[0] * ratio[1]), sides[1])
    middle = tf.stack([(sides[0] - rows) // 2, (sides[1] - columns) // 2, rows, columns])
    return tf.cast(tf.where(tf.reduce_any(fits), drawn, middle), tf.int32)


def cut(image, box):
    """The window `box` (first row, first column, rows, columns) of an image."""
    window = tf.slice(image, tf.concat([box[:2], [0]], 0), tf.concat([box[2:], [-1]], 0))
    return tf.ensure_shape(window, (None, None, image.shape[-1]))


def shift(image, seed, pixels):
    """Moves an image by an even draw from -pixels..pixels along each axis; black fills the gap.

    Args:
        image: (H, W, C), static shape.
        seed: int32 (2,).
        pixels: int.

    Returns:
        An image of the same shape and dtype.
    """
    padded = tf.pad(image, [[pixels, pixels], [pixels, pixels], [0, 0]])
    offset = tf.random.stateless_uniform((2,), seed, 0, 2 * pixels + 1, tf.int32)
    return tf.slice(padded, tf.concat([offset, [0]], 0), image.shape)
