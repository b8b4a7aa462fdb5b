"""Which image files are read, by the end of their names, and what makes those of Pillow readable.

TensorFlow reads JPEG, PNG, GIF and BMP. Still WebP, TIFF and AVIF are read by Pillow and handed on
as a BMP, which holds the same pixels. TensorFlow's own decoder of WebP is not an option: an
animated file ends the process.
"""

import io

import tensorflow as tf

from keras_regionvit.images.decode import MAX_PIXELS

BY_TENSORFLOW = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp")
BY_PILLOW = (".webp", ".tif", ".tiff", ".avif")
SUFFIXES = BY_TENSORFLOW + BY_PILLOW
# Photos for certain, which nobody means to leave out, and which neither of the two reads.
UNREAD = (
    *(".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpx", ".psd", ".svg", ".tga", ".exr"),
    *(".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf", ".dcm", ".apng", ".mpo"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".hdr", ".dds"),
)
KNOWN = "JPEG, PNG, GIF, BMP, WebP, TIFF or AVIF"


def as_bmp(encoded, max_pixels=MAX_PIXELS):
    """A WebP, TIFF or AVIF as a BMP of 24 bits a pixel; other files as they are.

    Of several frames or pages the first is taken. Pixels are those of Pillow's `convert("RGB")`;
    grey ones of 16 bits are scaled to 8.

    Args:
        encoded: bytes of a file.
        max_pixels: images with more are refused before they are unpacked.

    Returns:
        Bytes; none where the file is damaged, cut short, too large or of a rare kind.

    Example:

    >>> as_bmp(open("photo.webp", "rb").read())[:2]
    b'BM'
    """
    kind = kind_of(encoded)
    if kind is None:
        return encoded
    # Pillow reserves memory for a WebP's canvas as it opens it
    if kind == "WEBP" and not 0 < _webp_pixels(encoded) <= max_pixels:
        return b""
    from PIL import Image

    made = io.BytesIO()
    try:
        with Image.open(io.BytesIO(encoded), formats=(kind,)) as image:
            if image.width * image.height > max_pixels:
                return b""
            _eight_bits(image).convert("RGB").save(made, "BMP")
    except Exception:  # Pillow's plugins raise almost anything on a damaged file
        return b""
    return made.getvalue()


def by_pillow(encoded):
    """`as_bmp` inside of `tf.data`, of a string scalar tensor."""
    # declared free of state: a stateful function would be run by one thread only
    bmp = tf.numpy_function(as_bmp, [encoded], tf.string, stateful=False)
    return tf.ensure_shape(bmp, ())


def kind_of(encoded):
    """Pillow's name of the format of a WebP, TIFF or AVIF, by its first bytes; None of others.

    Example:

    >>> kind_of(open("scan.tif", "rb").read())
    'TIFF'
    """
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "WEBP"
    if encoded[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if encoded[4:8] == b"ftyp":
        brands = encoded[8 : min(int.from_bytes(encoded[:4], "big"), 256)]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
    return None


def _eight_bits(image):
    """An image of 16 bits, grey, with their upper 8; others as they are."""
    if image.mode.startswith("I;16"):
        return image.point(lambda value: value / 256).convert("L")
    if image.mode in ("I", "F"):
        raise ValueError("The range of 32 bits is not known.")
    return image


def _webp_pixels(encoded):
    """How many pixels the header of a WebP declares; 0 where it is cut short or unknown."""

    def number(place, count):
        return int.from_bytes(encoded[place : place + count], "little")

    if len(encoded) < 30:
        return 0
    chunk = encoded[12:16]
    if chunk == b"VP8X":
        return (1 + number(24, 3)) * (1 + number(27, 3))
    if chunk == b"VP8 ":
        return (number(26, 2) & 0x3FFF) * (number(28, 2) & 0x3FFF)
    if chunk == b"VP8L":
        bits = number(21, 4)
        return (1 + (bits & 0x3FFF)) * (1 + (bits >> 14 & 0x3FFF))
    return 0
