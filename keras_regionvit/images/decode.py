"""Encoded pictures made into what a classifier takes: the one way of training, tests and serving.

Only TensorFlow's operations, so it runs in `tf.data` and inside a SavedModel. Pixels are Pillow's:
decoding gives what `Image.open(file).convert("RGB")` gives, transparency dropped as it does, but
that 16 bits are scaled to 8 where Pillow clips grey ones. A camera's note on how it was held
(EXIF) is left alone, as ImageNet training does; turn such photos upright beforehand.

H, W: rows and columns of a picture; S: side of the square that comes out.
"""

import tensorflow as tf

from keras_regionvit.images.gif import first_frame, on_screen

MAX_PIXELS = 89_478_485  # Pillow's own guard against files that unpack without end
MAX_SIDE = 65_535  # of JPEG and GIF by their formats; a resize needs memory for S columns of H rows
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
_LUMA = (19595, 38470, 7471)  # ITU-R 601, in 1/65536 as Pillow has it


def decode_image(encoded, channels=3, max_pixels=MAX_PIXELS):
    """Decodes a JPEG, PNG, GIF (its first frame) or BMP.

    Grey, palette, CMYK, transparent and 16-bit pictures come out as 8-bit colour or grey; what is
    transparent shows the colour that the file holds there. BMPs have 8, 24 or 32 bits a pixel, are
    not compressed, have a header of Windows 3 or later, and nothing behind their pixels.

    Args:
        encoded: string scalar, the bytes of the file.
        channels: 3 for red, green and blue; 1 for grey.
        max_pixels: pictures with more are refused before they are unpacked, as are those with a
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
    encoded = _provided(encoded, pixels <= max_pixels, text)
    side = tf.reduce_max(shape)
    text = tf.strings.format(
        f"The image has a side of {{}} pixels; at most {MAX_SIDE} are read.", side
    )
    encoded = _provided(encoded, side <= MAX_SIDE, text)
    image = tf.case(
        [
            (starts(encoded, b"GIF8"), lambda: _decode_gif(encoded, max_pixels)),
            (tf.io.is_jpeg(encoded), lambda: decode_jpeg(encoded)),
            (starts(encoded, b"BM"), lambda: _decode_bmp(encoded)),
        ],
        default=lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    image.set_shape((None, None, 3))
    return with_channels(image, channels)


def evaluation_image(
    image, size, crop_ratio=224 / 256, mean=IMAGENET_MEAN, std=IMAGENET_STD, max_pixels=MAX_PIXELS
):
    """The middle of a picture as a classifier is tested on: resized, cropped and normalised.

    The shorter side becomes `round(size / crop_ratio)` pixels (bicubic with antialiasing, rounded
    and clipped to whole values as Pillow does), the longer one keeps the proportions.

    Args:
        image: string scalar, an encoded picture; or uint8 (H, W, C).
        size: S.
        crop_ratio: share of the shorter side that is kept, in (0, 1].
        mean: of each of the C channels, on 0..255.
        std: likewise.
        max_pixels: as for `decode_image`.

    Returns:
        float32 (S, S, C), `(pixel - mean) / std`.

    Raises:
        ValueError: `size`, `crop_ratio`, `mean` or `std` make no sense, or do not fit `image`.
        tf.errors.InvalidArgumentError: as for `decode_image`.

    Example:

    >>> evaluation_image(tf.io.read_file("photo.jpg"), size=224).shape
    TensorShape([224, 224, 3])
    """
    if not 0 < crop_ratio <= 1:
        raise ValueError(f"`crop_ratio` must lie in (0, 1]. Received: {crop_ratio}")
    channels = len(mean)
    image = tf.convert_to_tensor(image)
    if image.dtype == tf.string:
        image = decode_image(image, channels, max_pixels)
    elif image.dtype != tf.uint8:
        raise ValueError(f"`image` must be encoded bytes or uint8. Received: {image.dtype.name}")
    return normalize(center_crop(image, size, round(size / crop_ratio)), mean, std)


def normalize(image, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    """`(image - mean) / std` channel by channel.

    Args:
        image: (..., C) on 0..255.
        mean: C numbers.
        std: C numbers, all positive.

    Returns:
        float32 (..., C).

    Raises:
        ValueError: `mean` and `std` do not have one number for each channel.

    Example:

    >>> normalize(tf.zeros((2, 2, 1)), mean=(127.5,), std=(127.5,))
    """
    channels = image.shape[-1]
    if not len(mean) == len(std) == channels or min(std) <= 0:
        raise ValueError(
            f"`mean` and `std` need one number for each of the {channels} channels, `std` positive "
            f"ones. Received: {mean} and {std}"
        )
    image = tf.cast(image, tf.float32)
    return (image - tf.constant(mean, tf.float32)) / tf.constant(std, tf.float32)


def center_crop(image, size, shorter):
    """Resizes the shorter side to `shorter` pixels and cuts the middle square out.

    Only the pixels of the square are computed; rounding follows torchvision.

    Args:
        image: uint8 (H, W, C).
        size: S, at most `shorter`.
        shorter: pixels of the shorter side before the cut.

    Returns:
        float32 (S, S, C), whole numbers on 0..255.

    Raises:
        ValueError: `size` is not in 1..`shorter`.

    Example:

    >>> center_crop(photo, 224, shorter=256)
    """
    if not 1 <= size <= shorter:
        raise ValueError(f"`size` must lie between 1 and {shorter}. Received: {size}")
    sides = tf.shape(image)[:2]  # H, W
    resized = shorter * sides // tf.reduce_min(sides)
    first = tf.cast(tf.round(tf.cast(resized - size, tf.float32) / 2), tf.int32)  # half to even
    return resize_bicubic(image, (size, size), resized, first)


def resize_bicubic(image, window, resized=None, first=(0, 0)):
    """Bicubic resize with antialiasing, in whole numbers as Pillow does it.

    Args:
        image: uint8 (H, W, C).
        window: rows and columns to compute.
        resized: rows and columns of the whole resized picture; `window` if None.
        first: row and column of the resized picture at which the window begins.

    Returns:
        float32 (*window, C), whole numbers on 0..255.

    Example:

    >>> resize_bicubic(photo, (224, 224))
    """
    rows, columns = window
    sides = tf.shape(image)[:2]
    scale = tf.cast(window if resized is None else resized, tf.float32) / tf.cast(sides, tf.float32)
    first = tf.cast(first, tf.float32)
    # Columns, then rows, each rounded, as in Pillow
    image = _resample(image, (sides[0], columns), (1.0, scale[1]), (0.0, -first[1]))
    image = _resample(image, (rows, columns), (scale[0], 1.0), (-first[0], 0.0))
    return tf.ensure_shape(image, (rows, columns, image.shape[-1]))


def _resample(image, size, scale, translation):
    resampled = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=tf.stack(size),
        scale=tf.stack(scale),
        translation=tf.stack(translation),
        kernel_type="keyscubic",
        antialias=True,
    )
    return tf.clip_by_value(tf.floor(resampled[0] + 0.5), 0, 255)


def image_shape(encoded):
    """Rows and columns of an encoded picture, read from its first bytes.

    Args:
        encoded: string scalar, as for `decode_image`.

    Returns:
        int32 (2,).

    Raises:
        tf.errors.InvalidArgumentError: when run, on another format.

    Example:

    >>> image_shape(tf.io.read_file("photo.jpg")).numpy()
    array([480, 640], dtype=int32)
    """

    def unknown():
        text = "The image is not a JPEG, PNG, GIF or BMP, or it is empty."
        return _provided(tf.zeros((2,), tf.int32), False, text)

    return tf.case(
        [
            (tf.io.is_jpeg(encoded), lambda: tf.io.extract_jpeg_shape(encoded)[:2]),
            (
                starts(encoded, b"\x89PNG\r\n\x1a\n"),
                lambda: tf.stack([integer(encoded, 20, 4, True), integer(encoded, 16, 4, True)]),
            ),
            (
                starts(encoded, b"GIF8"),
                lambda: tf.stack([integer(encoded, 8, 2), integer(encoded, 6, 2)]),
            ),
            (
                starts(encoded, b"BM"),  # rows are negative where the first is at the top
                lambda: tf.stack([tf.abs(integer(encoded, 22, 4)), integer(encoded, 18, 4)]),
            ),
        ],
        default=unknown,
    )


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
    """Colour made grey as Pillow does, grey made colour, or the picture as it is.

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
    """Whether pictures of these sides, integers of any shape, are neither empty nor too large."""
    rows, columns = tf.cast(rows, tf.int64), tf.cast(columns, tf.int64)
    sides = (tf.minimum(rows, columns) > 0) & (tf.maximum(rows, columns) <= MAX_SIDE)
    return sides & (rows * columns <= max_pixels)


def _decode_gif(encoded, max_pixels):
    encoded, rows, columns = first_frame(encoded)
    text = "The GIF has no frame, or one with too many pixels."
    encoded = _provided(encoded, within_limits(rows, columns, max_pixels), text)
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    return on_screen(encoded, image)


def _decode_bmp(encoded):
    text = "The BMP is compressed or from before Windows 3."
    encoded = _provided(encoded, plain_bmp(encoded), text)
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image, fine = bmp_colours(encoded, image)
    return _provided(image, fine, "The BMP lacks a colour in its palette.")


def plain_bmp(encoded):
    """Whether BMPs, strings of any shape, are of a kind that TensorFlow decodes."""
    packing = integer(encoded, 30, 4)
    return (packing != 1) & (packing != 2) & (integer(encoded, 14, 4) >= 40)


def bmp_colours(encoded, image):
    """The colours of a BMP that TensorFlow decoded: it leaves the palette out.

    Args:
        encoded: string scalar, the file.
        image: uint8 (H, W, 3), what `tf.io.decode_image` made of it.

    Returns:
        `(image, fine)`: uint8 (H, W, 3), and whether the palette has all the colours.
    """

    def coloured():
        begin, end = 14 + integer(encoded, 14, 4), integer(encoded, 10, 4)
        whole = tf.strings.length(encoded)
        begin, end = tf.clip_by_value(begin, 0, whole), tf.clip_by_value(end, 0, whole)
        palette = tf.strings.substr(encoded, begin, tf.clip_by_value(end - begin, 0, 1024))
        colours = tf.strings.length(palette) // 4
        palette = tf.strings.substr(palette + b"\0" * 1024, 0, 1024)
        palette = tf.reshape(tf.io.decode_raw(palette, tf.uint8), (256, 4))[:, 2::-1]  # B, G, R, 0
        indices = tf.cast(image[..., 0], tf.int32)
        return tf.gather(palette, indices), tf.reduce_max(indices) < colours

    return tf.cond(integer(encoded, 28, 2) == 8, coloured, lambda: (image, True))


def _provided(value, condition, text):
    """`value`, once `condition` is found true; `text` is the error otherwise."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [text])]):
        return tf.identity(value)


def starts(encoded, first):
    """Whether strings of any shape begin with the bytes `first`."""
    # `substr` refuses to begin beyond the end, so it must begin at 0
    return tf.strings.substr(encoded, 0, len(first)) == first


def integer(encoded, place, count, big_endian=False):
    """`count` bytes from `place` on as int32; zeros stand for what lies beyond the end.

    Args:
        encoded: strings of any shape.
        place: of the first byte.
        count: 2 or 4.
        big_endian: whether the highest byte comes first.

    Returns:
        int32 of the shape of `encoded`.
    """
    head = tf.strings.join([tf.strings.substr(encoded, 0, place + count), b"\0" * (place + count)])
    data = tf.io.decode_raw(tf.strings.substr(head, place, count), tf.uint8)
    data = tf.reshape(data, tf.concat([tf.shape(encoded), [count]], 0))  # also for no strings
    places = [256**i for i in range(count)]
    places = places[::-1] if big_endian else places
    weights = tf.constant([p - 2**32 if p >= 2**31 else p for p in places], tf.int32)
    return tf.reduce_sum(tf.cast(data, tf.int32) * weights, axis=-1)
