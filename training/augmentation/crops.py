"""The part of an image that training sees, decoded no further than needed."""

import math

import tensorflow as tf

from keras_regionvit.images.decode import decode_image, decode_jpeg, with_channels
from keras_regionvit.images.headers import image_shape
from keras_regionvit.images.resize import center_crop
from training.augmentation import affine
from training.augmentation.branches import one_of
from training.augmentation.placement import placed, resized
from training.augmentation.resize import resize_square

CROPS = ("random_resized", "shift", "none")
TRIES = 10
RATIOS = (1, 2, 4, 8)  # at which libjpeg can decode


def training_image(image, seed, *, size, channels, crop, shift_pixels=2):
    """A square of an image, drawn at random, and where the image went.

    Args:
        image: string scalar (encoded) or uint8 (H, W, channels).
        seed: int32 (2,).
        size: S.
        channels: 3 or 1.
        crop: "random_resized" (8% to 100% of the image's area, 3:4 to 4:3), "shift" (the middle
            square, moved by up to `shift_pixels` of the result, black filling the gap) or "none"
            (the middle square).
        shift_pixels: greatest shift.

    Returns:
        `(image, placement)`: float32 (S, S, channels), whole numbers on 0..255, and the
        `Placement` of the image given.

    Example:

    >>> training_image(data, [0, 7], size=224, channels=3, crop="random_resized")
    """
    if crop == "random_resized":
        window, box = random_window(image, seed, channels, size)
        return resize_square(window, size), resized(box, (size, size))
    if image.dtype == tf.string:
        image = decode_image(image, channels)
    placement = middle(tf.shape(image)[:2], size, size)
    image = center_crop(image, size, size)
    if crop == "shift":
        image, moved = shift(image, seed, shift_pixels)
        placement = placement.then(moved)
    return image, placement


def middle(sides, size, shorter):
    """What `center_crop` does to an image: the shorter side resized, the middle square cut out.

    Args:
        sides: int32 (2,), rows and columns of the image.
        size: side of the square, int.
        shorter: pixels of the shorter side before the cut, int.

    Returns:
        A `Placement`.

    Example:

    >>> middle([480, 640], 224, shorter=256)
    """
    sides = tf.convert_to_tensor(sides, tf.int32)
    whole = shorter * sides // tf.reduce_min(sides)
    scale = tf.cast(whole, tf.float32) / tf.cast(sides, tf.float32)
    first = tf.round(tf.cast(whole - size, tf.float32) / 2)  # half to even
    step = affine.stretch(tf.reverse(scale, [0]), -tf.reverse(first, [0]))
    return placed(step[None], (size, size))


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
        `(window, box)`: uint8 (h, w, channels), and what it shows of the image, int32 (4,) as
        `random_box` gives it. In a JPEG decoded at a fraction, only whole blocks show.
    """
    if image.dtype != tf.string:
        box = random_box(tf.shape(image)[:2], seed)
        return cut(image, box), box

    def box_of_jpeg(image, seed):
        return random_box(tf.io.extract_jpeg_shape(image)[:2], seed)

    def box_of_any(image, seed):
        return random_box(image_shape(image), seed)

    def window_of_any(image, box):
        return cut(decode_image(image, channels), box)

    # A cut-off JPEG lacks its last two bytes, and must not pass if the window lies above the cut.
    whole = tf.io.is_jpeg(image)
    whole &= tf.strings.substr(image, tf.maximum(tf.strings.length(image) - 2, 0), 2) == b"\xff\xd9"
    box = one_of(tf.cast(whole, tf.int32), [box_of_any, box_of_jpeg], image, seed)
    ratios = RATIOS if size else RATIOS[:1]
    times = tf.reduce_min(box[2:]) // (size or 1)  # how often the result fits into the window
    ratio = sum(tf.cast(times >= ratio, tf.int32) for ratio in ratios[1:])
    ways = [window_of_any, *(window_of_jpeg(ratio, channels) for ratio in ratios)]
    way = tf.where(whole, 1 + ratio, 0)
    window = one_of(way, ways, image, box)
    block = tf.gather((1, *ratios), way)
    return tf.ensure_shape(window, (None, None, channels)), box // block * block


def window_of_jpeg(ratio, channels):
    """A function `(encoded, box)` that decodes a JPEG's window at one `ratio`-th of its size."""

    def window(image, box):
        if ratio == 1:
            return with_channels(decode_jpeg(image, box), channels)
        how = {"channels": 3, "dct_method": "INTEGER_ACCURATE", "ratio": ratio}
        return with_channels(tf.io.decode_and_crop_jpeg(image, box // ratio, **how), channels)

    return window


def random_box(shape, seed, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """A random window as torchvision's and timm's RandomResizedCrop draw it.

    Its share of the area is drawn evenly, its ratio of width to height evenly in the logarithm;
    the first of ten draws that fits is taken, else the largest middle window of a ratio allowed.

    Args:
        shape: int32 (2,), rows and columns of the image.
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

    # none fits: a long and narrow image
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
        `(image, placement)`: an image of the same shape and dtype, and its `Placement`.
    """
    padded = tf.pad(image, [[pixels, pixels], [pixels, pixels], [0, 0]])
    offset = tf.random.stateless_uniform((2,), seed, 0, 2 * pixels + 1, tf.int32)
    moved = tf.slice(padded, tf.concat([offset, [0]], 0), image.shape)
    distance = tf.cast(tf.reverse(pixels - offset, [0]), tf.float32)  # along x and y
    step = affine.stretch(tf.ones((2,)), distance)
    return moved, placed(step[None], image.shape[:2])
