"""What TensorFlow leaves out of a BMP: which kinds it decodes wrongly, and the palette."""

import tensorflow as tf

from keras_regionvit.images.headers import integer

# First bytes of numbers in the header: where the pixels begin, the size of the second part of the
# header (40 or more since Windows 3), bits a pixel, and how the pixels are compressed.
_PIXELS, _PART, _BITS, _COMPRESSION = 10, 14, 28, 30
_FIRST_PART = 14  # bytes before the second part of the header
_RUN_LENGTHS = (1, 2)  # compressions that TensorFlow takes for pixels
_COLOURS = 256


def plain_bmp(encoded):
    """Whether BMPs, strings of any shape, are of a kind that TensorFlow decodes."""
    compression = integer(encoded, _COMPRESSION, 4)
    first, second = _RUN_LENGTHS
    packed = (compression == first) | (compression == second)
    return ~packed & (integer(encoded, _PART, 4) >= 40)


def with_palette(encoded, image):
    """The colours of a BMP that TensorFlow decoded: it gives places in the palette instead.

    Args:
        encoded: string scalar, the file.
        image: uint8 (H, W, 3), what `tf.io.decode_image` made of it.

    Returns:
        `(image, complete)`: uint8 (H, W, 3), and whether the palette has all the colours.

    Example:

    >>> with_palette(data, tf.io.decode_image(data, 3, expand_animations=False))
    """

    def coloured():
        begin = _FIRST_PART + integer(encoded, _PART, 4)
        length = tf.strings.length(encoded)
        begin = tf.clip_by_value(begin, 0, length)
        end = tf.clip_by_value(integer(encoded, _PIXELS, 4), 0, length)
        palette = tf.strings.substr(encoded, begin, tf.clip_by_value(end - begin, 0, 4 * _COLOURS))
        colours = tf.strings.length(palette) // 4
        palette = tf.strings.substr(palette + b"\0" * (4 * _COLOURS), 0, 4 * _COLOURS)
        palette = tf.io.decode_raw(palette, tf.uint8)
        palette = tf.reshape(palette, (_COLOURS, 4))[:, 2::-1]  # blue, green, red, 0 in the file
        places = tf.cast(image[..., 0], tf.int32)
        return tf.gather(palette, places), tf.reduce_max(places) < colours

    return tf.cond(integer(encoded, _BITS, 2) == 8, coloured, lambda: (image, True))
