"""Shear, translation and rotation, each equal to Pillow's up to float32 rounding.

H, W rows and columns, C channels. All take and return float32 (H, W, C) of whole numbers on 0..255.
`bicubic` is a boolean tensor: bicubic (with Pillow's a = -1) or bilinear. Where the source lies
outside of the image, `fill` (C values) shows; samples just inside repeat the edge.

`tf.raw_ops.ImageProjectiveTransformV3`, on which keras-cv builds, has no bicubic, fills with one
value for all channels and lets it bleed into the edge. On a CPU, the number of gathered slices
decides about the time: a translation needs none, a shear one a pixel, a rotation two or four.
"""

import tensorflow as tf

from training.augmentation.color import SLACK
from training.augmentation.pixels import like, row_of, rows, size


def shear_x(image, factor, bicubic, fill):
    """Shows at (x, y) what was at x + factor * y."""
    centers = indices(size(image)[0]) + 0.5
    return shift_rows(image, factor * centers, bicubic, fill)


def shear_y(image, factor, bicubic, fill):
    """Shows at (x, y) what was at y + factor * x."""
    centers = indices(size(image)[1]) + 0.5
    return shift_columns(image, factor * centers, bicubic, fill)


def translate_x(image, fraction, bicubic, fill):
    """Shows at x what was `fraction` of the width further right."""
    return translate(image, fraction * real(size(image)[1]), bicubic, fill, axis=1)


def translate_y(image, fraction, bicubic, fill):
    """Shows at y what was `fraction` of the height further down."""
    return translate(image, fraction * real(size(image)[0]), bicubic, fill, axis=0)


def translate(image, shift, bicubic, fill, axis):
    """Shows at each position what was `shift` pixels further along the axis.

    Args:
        image: float32 (H, W, C).
        shift: float32 ().
        bicubic: boolean ().
        fill: C values.
        axis: 0 or 1.
    """
    length = size(image)[axis]
    whole, part = split(shift)
    # outputs begin..end come from inside of the image; the rest shows the fill
    begin = tf.clip_by_value(tf.cast(tf.math.ceil(-0.5 - shift), tf.int32), 0, length)
    end = tf.cast(tf.math.ceil(real(length) - 0.5 - shift), tf.int32)
    end = tf.clip_by_value(end, begin, length)
    first, last = (image[:1], image[-1:]) if axis == 0 else (image[:, :1], image[:, -1:])
    padded = tf.concat([first, first, image, last, last], axis)
    start = tf.clip_by_value(begin + whole + 1, 0, length + 1)  # one sample before
    needed = slice(start, start + end - begin + 3)  # and two after
    window = padded[needed] if axis == 0 else padded[:, needed]
    weights, flat, count = tap_weights(part, bicubic), rows(window), end - begin
    step = 1 if axis == 0 else image.shape[-1]

    def samples(tap):
        near = slice(tap * step, (tap + count) * step)
        return flat[near] if axis == 0 else flat[:, near]

    mixed = sum(weights[tap] * samples(tap) for tap in range(4))
    mixed = tf.floor(tf.clip_by_value(mixed + SLACK, 0.0, 255.0))
    across = size(image)[1 - axis]
    shape = [count, across] if axis == 0 else [across, count]
    mixed = tf.reshape(mixed, [*shape, image.shape[-1]])

    def empty(count):
        shape = [count, across] if axis == 0 else [across, count]
        return tf.tile(tf.constant(fill, tf.float32)[None, None], [*shape, 1])

    whole_image = tf.concat([empty(begin), mixed, empty(length - end)], axis)
    return tf.ensure_shape(whole_image, image.shape)


def shift_rows(image, shifts, bicubic, fill):
    """Shows at (x, y) what was at x + shifts[y].

    Args:
        image: float32 (H, W, C), a static number of channels.
        shifts: float32 (H,).
        bicubic: boolean ().
        fill: C values.
    """
    height, width, channels = size(image)
    whole, part = split(shifts)
    taps = tf.range(-1, width + 2)  # one before, two after
    columns = tf.clip_by_value(whole[:, None] + taps, 0, width - 1)  # (H, W+3)
    index = width * tf.range(height)[:, None] + columns
    source = tf.reshape(rows(image) - row_of(fill, image), [-1, channels])
    moved = rows(tf.gather(source, index))  # (H, (W+3)*C)
    weights = tap_weights(part, bicubic)[:, :, None]  # (4, H, 1)
    span = width * channels
    mixed = sum(weights[tap] * moved[:, tap * channels :][:, :span] for tap in range(4))
    seen = inside(indices(width) + shifts[:, None], width)
    return finish(mixed, seen, image, fill)


def shift_columns(image, shifts, bicubic, fill):
    """Shows at (x, y) what was at y + shifts[x]; arguments as in `shift_rows`, shifts (W,)."""
    height, width, channels = size(image)
    whole, part = split(shifts)
    taps = tf.range(-1, height + 2)
    lines = tf.clip_by_value(whole + taps[:, None], 0, height - 1)  # (H+3, W)
    index = width * lines + tf.range(width)
    source = tf.reshape(rows(image) - row_of(fill, image), [-1, channels])
    moved = rows(tf.gather(source, index))  # (H+3, W*C)
    weights = tf.repeat(tap_weights(part, bicubic), channels, axis=1)  # (4, W*C)
    mixed = sum(weights[tap] * moved[tap : tap + height] for tap in range(4))
    seen = inside(indices(height)[:, None] + shifts, height)
    return finish(mixed, seen, image, fill)


def rotate(image, degrees, bicubic, fill):
    """Turns the image counter-clockwise about its centre.

    Args:
        image: float32 (H, W, C), a static number of channels.
        degrees: float32 ().
        bicubic: boolean ().
        fill: C values.
    """
    height, width, _ = size(image)
    angle = -degrees * (3.141592653589793 / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    x = indices(width) + (0.5 - real(width) / 2)
    y = (indices(height) + (0.5 - real(height) / 2))[:, None]
    x, y = cos * x + sin * y + (real(width) / 2 - 0.5), cos * y - sin * x + (real(height) / 2 - 0.5)
    seen = inside(x, width) * inside(y, height)
    (left, x), (top, y) = split(x), split(y)
    mixed = tf.cond(
        bicubic,
        lambda: sample(image, top, left, cubic_weights(y), cubic_weights(x), fill),
        lambda: sample(image, top, left, [1 - y, y], [1 - x, x], fill),
    )
    return finish(mixed, seen, image, fill)


def sample(image, top, left, down, across, fill):
    """Weighted sums of 2x2 or 4x4 pixels, less the fill.

    Args:
        image: float32 (H, W, C).
        top: int32 (H, W), the row above or at the position.
        left: int32 (H, W), the column before or at the position, from -1 to W-1.
        down: 2 or 4 weights (H, W) of the rows.
        across: as many weights of the columns.
        fill: C values.

    Returns:
        float32 (H*W, C).
    """
    height, width, channels = size(image)
    taps = 2 if len(down) == 2 else 4
    before = taps // 2 - 1
    # Neighbours in a row lie side by side in memory. A gather takes only slices that begin at
    # multiples of their length; so there is one copy of the image for each remainder.
    image = like(rows(image) - row_of(fill, image), image)
    left_edge = [image[:, :1]] * (before + 1)
    right_edge = [image[:, -1:]] * (taps - before - 1)
    stride = width + taps
    pixels = tf.reshape(tf.concat([*left_edge, image, *right_edge], 1), [-1, channels])
    pixels = tf.pad(pixels, [[0, 2 * taps], [0, 0]])
    length = height * stride // taps + 1
    tables = [pixels[first : first + taps * length] for first in range(taps)]
    table = tf.reshape(tf.concat(tables, 0), [-1, taps * channels])
    total = 0.0
    repeated = tf.ones([1, taps * channels])
    for row in range(taps):
        start = tf.clip_by_value(top + row - before, 0, height - 1) * stride + left + 1
        start = tf.reshape(start, [-1])
        index = (start % taps) * length + start // taps
        # a product with ones is quicker than broadcasting along the last axis
        total += tf.matmul(tf.reshape(down[row], [-1, 1]), repeated) * tf.gather(table, index)
    spread = tf.repeat(tf.eye(taps), channels, axis=1)  # a weight for each channel
    weights = tf.matmul(tf.stack([tf.reshape(tap, [-1]) for tap in across], 1), spread)
    return tf.matmul(total * weights, tf.tile(tf.eye(channels), [taps, 1]))


def real(number):
    """An int or int32 tensor as float32."""
    return tf.cast(number, tf.float32)


def indices(length):
    """Indices of the pixels along an axis, float32 (length,)."""
    return real(tf.range(length))


def split(positions):
    """Whole part int32, rounded down, and the rest in [0, 1)."""
    whole = tf.floor(positions)
    return tf.cast(whole, tf.int32), positions - whole


def cubic_weights(d):
    """Weights of the samples at -1, 0, 1 and 2 for positions `d` in [0, 1); they sum to 1."""
    return [
        d * (d * (2 - d) - 1),
        d * d * (d - 2) + 1,
        d * (d * (1 - d) + 1),
        d * d * (d - 1),
    ]


def tap_weights(part, bicubic):
    """The same or the bilinear ones, (4,) + shape of `part`."""
    linear = [tf.zeros_like(part), 1 - part, part, tf.zeros_like(part)]
    return tf.where(bicubic, tf.stack(cubic_weights(part)), tf.stack(linear))


def inside(positions, length):
    """1.0 where a sample at such pixel indices lies in the image, else 0.0."""
    return tf.cast((positions >= -0.5) & (positions < real(length) - 0.5), tf.float32)


def finish(mixed, seen, image, fill):
    """Hides what lies outside, adds the fill back and cuts to whole numbers on 0..255."""
    shown = rows(like(mixed, image) * seen[..., None]) + row_of(fill, image)
    return like(tf.floor(tf.clip_by_value(shown + SLACK, 0.0, 255.0)), image)
