"""Pixels moved by affine maps: masks by their nearest pixel, images with antialiasing.

`steps` and `sizes` are those of a `placement.Placement`. H, W: rows and columns of the source;
h, w: of the result.
"""

import functools

import tensorflow as tf

from training.augmentation import affine
from training.augmentation.branches import either

ROUNDING = 1e-3  # how far in pixels float32 may miss a whole number


def nearest(mask, steps, sizes, fill):
    """Masks of which each pixel takes the value of the nearest one of the source.

    Args:
        mask: (..., H, W) of any dtype.
        steps: float32 (n, 2, 3).
        sizes: int32 (n, 2).
        fill: what stands where the source does not show.

    Returns:
        (..., h, w), of the dtype of `mask`.
    """
    if not steps.shape[0]:
        return mask
    rows, columns = tf.unstack(tf.shape(mask)[-2:])
    x, y, seen = sources(steps, sizes, tf.stack([rows, columns]))
    x = tf.clip_by_value(tf.cast(tf.floor(x), tf.int32), 0, columns - 1)
    y = tf.clip_by_value(tf.cast(tf.floor(y), tf.int32), 0, rows - 1)
    flat = tf.reshape(mask, tf.concat([tf.shape(mask)[:-2], [rows * columns]], 0))
    moved = tf.gather(flat, columns * y + x, axis=-1)
    moved = tf.where(seen, moved, tf.cast(fill, mask.dtype))
    return tf.ensure_shape(moved, mask.shape[:-2].concatenate(last_of(sizes)))


def bicubic(images, steps, sizes):
    """Images cut, resized, mirrored and shifted, bicubic with antialiasing.

    Args:
        images: (..., H, W, C), uint8 or float32, C static.
        steps: float32 (n, 2, 3), none of which shears or turns.
        sizes: int32 (n, 2).

    Returns:
        float32 (..., h, w, C), black where the source does not show; of uint8 whole numbers on
        0..255.

    Raises:
        tf.errors.InvalidArgumentError: when run, if a step shears or turns.
    """
    if not steps.shape[0]:
        return tf.cast(images, tf.float32)
    scale, offset = upright(steps)
    source = tf.shape(images)[-3:-1]
    window = shown(steps, sizes, source)
    # only whole pixels that show are resized, so that nothing beyond them shines in
    low = tf.floor(tf.stack([window[1], window[0]]) + ROUNDING)
    high = tf.math.ceil(tf.stack([window[3], window[2]]) - ROUNDING)
    (top, left), (bottom, right) = (tf.unstack(tf.cast(x, tf.int32)) for x in (low, high))
    cut = images[..., top:bottom, left:right, :]
    batch = tf.reshape(cut, tf.concat([[-1], tf.shape(cut)[-3:]], 0))
    for axis in (0, 1):
        mirror = functools.partial(tf.reverse, axis=[axis + 1])
        batch = either(scale[axis] < 0, mirror, tf.identity, batch)
    moved = tf.raw_ops.ScaleAndTranslate(
        images=batch,
        size=sizes[-1],
        scale=tf.abs(scale),
        # a mirrored axis begins with its last pixel
        translation=offset + tf.where(scale < 0, high, low) * scale,
        kernel_type="keyscubic",
        antialias=True,
    )
    if images.dtype == tf.uint8:
        moved = tf.clip_by_value(tf.round(moved), 0, 255)
    _, _, seen = sources(steps, sizes, source)
    moved *= tf.cast(seen, tf.float32)[..., None]
    moved = tf.reshape(moved, tf.concat([tf.shape(images)[:-3], tf.shape(moved)[1:]], 0))
    shape = images.shape[:-3].concatenate(last_of(sizes)).concatenate(images.shape[-1:])
    return tf.ensure_shape(moved, shape)


def sources(steps, sizes, source):
    """Where the middle of each pixel of the result comes from.

    Args:
        steps: float32 (n, 2, 3).
        sizes: int32 (n, 2).
        source: int32 (2,), rows and columns of the source.

    Returns:
        `(x, y, seen)`: float32 (h, w) twice, the place in the source, and boolean (h, w), whether
        it lies inside of all images on the way.
    """
    middles = (tf.range(tf.cast(side, tf.float32)) + 0.5 for side in tf.unstack(sizes[-1]))
    y, x = tf.meshgrid(*middles, indexing="ij")
    seen = tf.ones_like(x, tf.bool)
    for step, size in backwards(steps, sizes, source):
        x, y = affine.moved(affine.inverse(step), x, y)
        seen &= affine.inside(x, y, size)
    return x, y, seen


def shown(steps, sizes, source):
    """The box of the source that the result shows, float32 (4,); arguments as for `sources`."""
    box = affine.whole(sizes[-1])
    for step, size in backwards(steps, sizes, source):
        box = affine.boxes_of(affine.inverse(step), box)
        box = affine.within(box, affine.whole(size))
    return box


def backwards(steps, sizes, source):
    """`(step, size of its source)` from the last step to the first."""
    before = [source, *tf.unstack(sizes)[:-1]]
    return list(zip(tf.unstack(steps), before, strict=True))[::-1]


def upright(steps):
    """`(scale, offset)` of all steps together, float32 (2,) along rows and columns each.

    Raises:
        tf.errors.InvalidArgumentError: when run, if they shear or turn.
    """
    across, down = tf.unstack(functools.reduce(affine.compose, tf.unstack(steps)))
    text = "The image was sheared or turned, which another image cannot follow."
    straight = tf.debugging.Assert((across[1] == 0) & (down[0] == 0), [text])
    with tf.control_dependencies([straight]):
        return tf.stack([down[1], across[0]]), tf.stack([down[2], across[2]])


def last_of(sizes):
    """The static shape (h, w) of the result, as far as it is known."""
    known = tf.get_static_value(sizes)
    return tf.TensorShape([None, None] if known is None else known[-1].tolist())
