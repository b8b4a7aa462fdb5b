"""Operations on pixel values, each equal to Pillow's on whole numbers.

All take and return float32 (H, W, C) of whole numbers on 0..255, C = 3 or 1; scalars may be
tensors. Fractions are cut off as Pillow cuts them. `enhance factor` is Pillow's: 0 gives the
degenerate image (black, grey, blurred), 1 the image itself, more than 1 exaggerates.

keras-cv 0.9 has most of these, but with other meanings (its Equalization drops the smallest
instead of the last bin, its contrast and colour factors are ranges of another scale, nothing is
cut to whole numbers), and its AutoContrast, Solarization and RandomSharpness take two to three
times as long on one image.
"""

import tensorflow as tf

from training.augmentation.pixels import like, row_of, rows

# Pillow's weights of R, G, B in grey, in 1/65536: every sum of such products is exact in float32
GREY = [[19595 / 65536], [38470 / 65536], [7471 / 65536]]
# float32 may fall short of a whole number, which the floor would then miss
SLACK = 1e-3


def blend(degenerate, image, factor):
    """`degenerate` at factor 0, `image` at 1, and beyond; whole numbers on 0..255."""
    mixed = degenerate + factor * (image - degenerate)
    return tf.floor(tf.clip_by_value(mixed + SLACK, 0.0, 255.0))


def brightness(image, factor):
    """Mixes with black by the enhance factor."""
    return tf.floor(tf.minimum(image * factor + SLACK, 255.0))


def contrast(image, factor):
    """Mixes with the image's mean grey by the enhance factor."""
    mean = tf.floor(tf.reduce_mean(grey(image)) + 0.5)
    return blend(mean, image, factor)


def saturation(image, factor):
    """Mixes with the grey image by the enhance factor; a grey image stays as it is."""
    if image.shape[-1] == 1:
        return image
    return blend(grey(image), image, factor)


def sharpness(image, factor):
    """Mixes with the image blurred over 3x3 by the enhance factor; the border stays."""
    if min(image.shape[0] or 3, image.shape[1] or 3) < 3:
        return image
    flat, channels = rows(image), image.shape[-1]
    inside = flat[1:-1, channels:-channels]
    # sums of 3x3 and four times the middle; slices are quicker than a convolution
    sums = flat[:, : -2 * channels] + flat[:, channels:-channels] + flat[:, 2 * channels :]
    sums = sums[:-2] + sums[1:-1] + sums[2:] + 4 * inside
    change = blend(tf.floor(sums / 13 + 0.5), inside, factor) - inside
    return image + like(tf.pad(change, [[1, 1], [channels, channels]]), image)


def grey(image):
    """The luminance of every pixel, in all channels."""
    if image.shape[-1] == 1:
        return image
    # a product that writes all three channels is quicker than broadcasting one
    sums = tf.matmul(tf.reshape(image, [-1, 3]), tf.constant([3 * row for row in GREY]))
    return like(tf.floor(sums + 0.5), image)


def invert(image):
    """The negative."""
    return 255.0 - image


def posterize(image, bits):
    """Keeps the `bits` highest bits of each value; none leaves black."""
    step = 2.0 ** (8.0 - tf.cast(bits, tf.float32))
    return tf.floor(image / step) * step


def solarize(image, threshold):
    """The negative of all values from `threshold` on."""
    high = tf.cast(image >= tf.cast(threshold, tf.float32), tf.float32)
    return image + high * (255.0 - 2.0 * image)


def solarize_add(image, addition):
    """Adds to all values below 128, up to 255."""
    low = tf.cast(image < 128.0, tf.float32)
    return tf.minimum(image + low * tf.cast(addition, tf.float32), 255.0)


def auto_contrast(image):
    """Stretches each channel to 0..255; a channel of one value stays."""
    low = tf.reduce_min(tf.reduce_min(image, axis=0), axis=0)
    high = tf.reduce_max(tf.reduce_max(image, axis=0), axis=0)
    flat = high <= low
    scale = tf.where(flat, 1.0, 255.0 / tf.maximum(high - low, 1.0))
    low = tf.where(flat, 0.0, low)
    stretched = (rows(image) - row_of(low, image)) * row_of(scale, image)
    return like(tf.floor(tf.minimum(stretched + SLACK, 255.0)), image)


def equalize(image):
    """Spreads the values of each channel so that they become about equally frequent."""
    channels = image.shape[-1]
    values = tf.cast(tf.clip_by_value(image, 0.0, 255.0), tf.int32)
    first = tf.tile(256 * tf.range(channels), [tf.shape(image)[1]])
    bins = tf.reshape(rows(values) + first, [-1])
    counts = tf.raw_ops.DenseBincount(
        input=bins, size=256 * channels, weights=tf.zeros((0,), tf.int32), binary_output=False
    )
    table = equalizing_table(tf.reshape(counts, [channels, 256]))
    return like(tf.gather(tf.reshape(table, [-1]), bins), image)


def equalizing_table(counts):
    """New values (C, 256) float32 for histograms (C, 256) int32, as Pillow computes them."""
    highest = tf.reduce_max(tf.where(counts > 0, tf.range(256), 0), axis=1)
    last = tf.gather(counts, highest, batch_dims=1)
    step = (tf.reduce_sum(counts, axis=1) - last) // 255
    divisor = tf.maximum(step, 1)[:, None]
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.minimum((below + divisor // 2) // divisor, 255)
    return tf.cast(tf.where(step[:, None] == 0, tf.range(256), table), tf.float32)
