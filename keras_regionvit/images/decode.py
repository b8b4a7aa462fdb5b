"""Encoded images to pixels: the one way of training, evaluation and serving.

Only TensorFlow's operations, so it runs in `tf.data` and inside a SavedModel. Pixels are Pillow's:
decoding gives what `Image.open(file).convert("RGB")` gives, transparency dropped as it does, but
that 16 bits are scaled to 8 where Pillow clips grey ones. A camera's note on how it was held
(EXIF) is left alone, as ImageNet training does; turn such photos upright beforehand.

H, W: rows and columns of an image.
"""

import tensorflow as tf

from keras_regionvit.images.bmp import plain_bmp, with_palette
from keras_regionvit.images.gif import first_frame, on_screen
from keras_regionvit.images.headers import BMP, GIF, image_shape, provided, starts

MAX_PIXELS = 89_478_485  # Pillow's own guard against files that unpack without end
MAX_SIDE = 65_535  # of JPEG and GIF by their formats; a resize needs memory for S columns of H rows
_LUMA = (19595, 38470, 7471)  # ITU-R 601, in 1/65536 as Pillow has it


def decode_image(encoded, channels=3, max_pixels=MAX_PIXELS):
    """Decodes a JPEG, PNG, GIF (its first frame) or BMP.

    Grey, palette, CMYK, transparent and 16-bit images come out as 8-bit colour or grey; what is
    transparent shows the colour that the file holds there. BMPs have 8, 24 or 32 bits a pixel, are
    not compressed, have a header of Windows 3 or later, and nothing behind their pixels.

    Args:
        encoded: string scalar, the bytes of the file.
        channels: 3 for red, green and blue; 1 for grey.
        max_pixels: images with more are refused before they are unpacked, as are those with a
            side of more than 65,535 pixels (`MAX_SIDE`).

    Returns:
        uint8 (H, W, channels).

    Raises:
        ValueError: `channels` is neither 1 nor 3.
        tf.errors.InvalidArgumentError: when run, on any other format, a damaged or truncated
            file, a BMP of another kind, or one that is too large.

    Example:

    >>> decode_image(tf.io.read_file("photo.jpg")).shape
    TensorShape([480, 640, 3])
    """
    shape = image_shape(encoded)
    pixels = tf.reduce_prod(tf.cast(shape, tf.int64))
    text = tf.strings.format("The image has {} pixels; at most {} are read.", (pixels, max_pixels))
    encoded = provided(encoded, pixels <= max_pixels, text)
    side = tf.reduce_max(shape)
    text = tf.strings.format(
        f"The image has a side of {{}} pixels; at most {MAX_SIDE} are read.", side
    )
    encoded = provided(encoded, side <= MAX_SIDE, text)
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: decode_jpeg(encoded),
        lambda: _decode_other(encoded, max_pixels),
    )
    image.set_shape((None, None, 3))
    return with_channels(image, channels)


def decode_jpeg(encoded, window=None):
    """A JPEG's pixels in colour, or those of a window of it.

    Args:
        encoded: string scalar.
        window: optional int32 (4,): first row, first column, rows, columns.

    Returns:
        uint8 (H, W, 3).

    Example:

    >>> decode_jpeg(tf.io.read_file("photo.jpg"), window=(0, 0, 100, 100))
    """
    how = {"channels": 3, "dct_method": "INTEGER_ACCURATE"}  # libjpeg's own default
    if window is None:
        return tf.io.decode_jpeg(encoded, **how)
    return tf.io.decode_and_crop_jpeg(encoded, window, **how)


def with_channels(image, channels):
    """Colour made grey as Pillow does, grey made colour, or the image as it is.

    Args:
        image: uint8 (..., 3) or (..., 1).
        channels: 3 or 1.

    Returns:
        uint8 (..., channels).

    Raises:
        ValueError: `channels` is neither 1 nor 3.

    Example:

    >>> with_channels(photo, 1)
    """
    if channels not in (1, 3):
        raise ValueError(f"`channels` must be 1 or 3. Received: {channels}")
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return tf.repeat(image, 3, axis=-1)
    weighted = tf.reduce_sum(tf.cast(image, tf.int32) * _LUMA, axis=-1, keepdims=True)
    return tf.cast((weighted + 0x8000) // 0x10000, tf.uint8)


def within_limits(rows, columns, max_pixels):
    """Whether images of these sides, integers of any shape, are neither empty nor too large."""
    rows, columns = tf.cast(rows, tf.int64), tf.cast(columns, tf.int64)
    fine = (tf.minimum(rows, columns) > 0) & (tf.maximum(rows, columns) <= MAX_SIDE)
    return fine & (rows * columns <= max_pixels)


def as_pillow(encoded, image):
    """What TensorFlow's decoder leaves out of an image: a BMP's palette, a GIF's screen.

    Args:
        encoded: string scalar, the file; a GIF as `first_frame` has cut it.
        image: uint8 (H, W, 3), what `tf.io.decode_image` made of it.

    Returns:
        `(image, complete)`: uint8 (H, W, 3), and false where a BMP lacks a colour.

    Example:

    >>> as_pillow(data, tf.io.decode_image(data, 3, expand_animations=False))
    """
    image, complete = tf.cond(
        starts(encoded, BMP), lambda: with_palette(encoded, image), lambda: (image, True)
    )
    image = tf.cond(starts(encoded, GIF), lambda: on_screen(encoded, image), lambda: image)
    return image, complete


def _decode_other(encoded, max_pixels):
    """uint8 (H, W, 3), the pixels of a PNG, GIF or BMP whose header is within the limits."""

    def checked_bmp():
        text = "The BMP is compressed or from before Windows 3."
        return provided(encoded, plain_bmp(encoded), text)

    def checked_gif():
        cut, rows, columns = first_frame(encoded)
        text = "The GIF has no frame, or one with too many pixels."
        return provided(cut, within_limits(rows, columns, max_pixels), text)

    checked = tf.case(
        [(starts(encoded, GIF), checked_gif), (starts(encoded, BMP), checked_bmp)],
        default=lambda: tf.identity(encoded),
    )
    image = tf.io.decode_image(checked, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    image, complete = as_pillow(checked, image)
    return provided(image, complete, "The BMP lacks a colour in its palette.")
