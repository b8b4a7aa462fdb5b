"""The first frame of a GIF, found without decoding.

TensorFlow's decoder unpacks every frame before it gives the first, and a frame may be larger than
the header says: a file of 100 kB can take gigabytes. So the file is cut after its first frame,
whose own size can then be looked at (GIF89a specification, sections 18 to 24).
"""

import tensorflow as tf

_EXTENSION, _IMAGE, _COLOURS = 0x21, 0x2C, 0x80


def first_frame(encoded):
    """Cuts a GIF after its first frame.

    Args:
        encoded: string scalar, a GIF.

    Returns:
        `(encoded, pixels)`: the shorter file, and int64 the larger of the pixels of its screen and
        of its frame; 0 if there is no frame or no screen.

    Example:

    >>> encoded, pixels = first_frame(tf.io.read_file("waving.gif"))
    """
    data = tf.concat([tf.io.decode_raw(encoded, tf.uint8), tf.zeros(1, tf.uint8)], 0)
    end = tf.size(data) - 1

    def at(place):
        return tf.cast(data[tf.minimum(place, end)], tf.int32)  # 0 beyond the end

    def short(place):
        return at(place) + 256 * at(place + 1)

    def table(flags):
        return tf.where(flags & _COLOURS > 0, 3 * tf.bitwise.left_shift(2, flags & 7), 0)

    def after_blocks(place):
        """Where a chain of blocks that begins at `place` has ended."""
        step = tf.while_loop(lambda p: at(p) > 0, lambda p: (p + at(p) + 1,), (place,))
        return step[0] + 1

    (place,) = tf.while_loop(
        lambda p: tf.equal(at(p), _EXTENSION),
        lambda p: (after_blocks(p + 2),),
        (13 + table(at(10)),),
    )
    found = tf.equal(at(place), _IMAGE)
    screen = tf.cast(short(6), tf.int64) * tf.cast(short(8), tf.int64)
    frame = tf.cast(short(place + 5), tf.int64) * tf.cast(short(place + 7), tf.int64)
    cut = after_blocks(place + 11 + table(at(place + 9)))  # after the descriptor and the code size
    whole = tf.where(cut <= end, b";", b"")  # the trailer; a torn frame stays torn
    encoded = tf.strings.substr(encoded, 0, tf.minimum(cut, end)) + whole
    pixels = tf.where(found & (screen > 0) & (frame > 0), tf.maximum(screen, frame), 0)
    return encoded, pixels
