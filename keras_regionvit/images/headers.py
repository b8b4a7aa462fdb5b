"""What the first bytes of an encoded image say: its format and its sides, without decoding.

All functions but `image_shape` take strings of any shape, so one image and a batch are read alike.
"""

import functools

import tensorflow as tf

# The bytes that files begin with.
JPEG, PNG, GIF, BMP = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM"
# First byte of the columns and of the rows, bytes of each, whether the highest byte comes first.
SIDES = {PNG: (16, 20, 4, True), GIF: (6, 8, 2, False), BMP: (18, 22, 4, False)}


def image_shape(encoded):
    """Rows and columns of an encoded image, read from its first bytes.

    Args:
        encoded: string scalar, a JPEG, PNG, GIF or BMP.

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
        return provided(tf.zeros((2,), tf.int32), False, text)

    cases = [(tf.io.is_jpeg(encoded), lambda: tf.io.extract_jpeg_shape(encoded)[:2])]
    for kind in SIDES:
        cases.append((starts(encoded, kind), functools.partial(_stacked_sides, encoded, kind)))
    return tf.case(cases, default=unknown)


def sides(encoded, kind):
    """Rows and columns of images of one format.

    Args:
        encoded: strings of any shape.
        kind: `PNG`, `GIF` or `BMP`. A JPEG has its sides in no fixed place.

    Returns:
        `(rows, columns)`: int32 of the shape of `encoded`, without meaning for other formats.

    Example:

    >>> rows, columns = sides(tf.constant([png, gif]), PNG)
    """
    first_of_columns, first_of_rows, count, big_endian = SIDES[kind]
    rows = integer(encoded, first_of_rows, count, big_endian)
    if kind == BMP:
        rows = tf.abs(rows)  # negative where the first row is at the top
    return rows, integer(encoded, first_of_columns, count, big_endian)


def _stacked_sides(encoded, kind):
    return tf.stack(sides(encoded, kind))


def starts(encoded, first):
    """Whether strings of any shape begin with the bytes `first`, a boolean tensor."""
    # `substr` refuses to begin beyond the end, so it must begin at 0
    return tf.strings.substr(encoded, 0, len(first)) == first


def integer(encoded, place, count, big_endian=False):
    """Reads `count` bytes from `place` on as an int32; zeros stand for what lies beyond the end.

    Args:
        encoded: strings of any shape.
        place: index of the first byte.
        count: 2 or 4.
        big_endian: whether the highest byte comes first.

    Returns:
        int32 of the shape of `encoded`.

    Example:

    >>> integer(tf.constant(b"BM"), 0, 2).numpy()
    19778
    """
    head = tf.strings.join([tf.strings.substr(encoded, 0, place + count), b"\0" * (place + count)])
    data = tf.io.decode_raw(tf.strings.substr(head, place, count), tf.uint8)
    data = tf.reshape(data, tf.concat([tf.shape(encoded), [count]], 0))  # also for no strings
    places = [256**i for i in range(count)]
    places = places[::-1] if big_endian else places
    weights = tf.constant([p - 2**32 if p >= 2**31 else p for p in places], tf.int32)
    return tf.reduce_sum(tf.cast(data, tf.int32) * weights, axis=-1)


def provided(value, condition, text):
    """`value`, once `condition` is found true; `text` is the error otherwise."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [text])]):
        return tf.identity(value)
