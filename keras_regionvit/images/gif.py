"""The first frame of a GIF, found without decoding.

TensorFlow's decoder unpacks every frame before it gives the first, and a frame may be larger than
the header says: a file of 100 kB can take gigabytes. So the file is cut after its first frame,
whose own size can then be looked at (GIF89a specification, sections 18 to 24). The decoder also
paints what is transparent black and knows no screen that is larger than the frame; both are put
right here.
"""

import tensorflow as tf

from keras_regionvit.images.headers import GIF, SIDES

_EXTENSION, _CONTROL, _IMAGE, _COLOURS, _TRANSPARENT = 0x21, 0xF9, 0x2C, 0x80, 1
_WIDTH, _HEIGHT = SIDES[GIF][:2]  # first bytes of the screen's sides
_FLAGS, _HEADER = 10, 13  # byte of the header's flags, and length of the header
# Bytes behind the trailer, for `on_screen`: left, top; the screen's width, height; colour.
_TAIL = 11


class _Bytes:
    """The bytes of a file, zeros beyond its end."""

    def __init__(self, encoded):
        self.data = tf.concat([tf.io.decode_raw(encoded, tf.uint8), tf.zeros(1, tf.uint8)], 0)
        self.end = tf.size(self.data) - 1

    def at(self, place):
        """A byte, int32."""
        return tf.cast(self.data[tf.minimum(place, self.end)], tf.int32)

    def short(self, place):
        """A number of two bytes, the lower one first, int32."""
        return self.at(place) + 256 * self.at(place + 1)


def first_frame(encoded):
    """Cuts a GIF after its first frame, and the extensions out, such as that of transparency.

    A file of thousands of tiny blocks counts as one without a frame: each block is a step here.

    Args:
        encoded: string scalar, a GIF.

    Returns:
        `(encoded, rows, columns)`: the shorter file, and int32 the sides of the image, which is
        the screen and what of the frame lies beyond it; 0 if there is no whole frame or no screen.

    Example:

    >>> encoded, rows, columns = first_frame(tf.io.read_file("waving.gif"))
    """
    file = _Bytes(encoded)
    at, short = file.at, file.short
    head = _HEADER + _table_size(at(_FLAGS))
    steps = 1024 + file.end // 64  # blocks have 255 bytes, but for the last of a chain
    place, steps, fill = _after_extensions(file, head, steps)
    # The frame's descriptor: a mark, left, top, width, height of two bytes each, and flags.
    left, top, width, height, flags = (place + offset for offset in (1, 3, 5, 7, 9))
    rows = tf.maximum(short(_HEIGHT), short(top) + short(height))
    columns = tf.maximum(short(_WIDTH), short(left) + short(width))
    found = tf.equal(at(place), _IMAGE)
    for side in (_WIDTH, _HEIGHT, width, height):
        found &= short(side) > 0
    # behind the descriptor, the frame's own table of colours and the code size
    cut, steps = _after_blocks(file, flags + 2 + _table_size(at(flags)), steps)
    found &= (steps > 0) & (cut <= file.end)
    table = tf.where(at(flags) & _COLOURS > 0, flags + 1, _HEADER)

    def part(begin, count):
        return tf.strings.substr(encoded, tf.minimum(begin, file.end), count)

    parts = [part(0, head), b",\0\0\0\0", part(width, cut - width), b";"]
    colour = tf.strings.substr(part(table + 3 * fill, 3) + b"\0\0\0", 0, 3)
    parts += [part(left, 4), part(_WIDTH, 4), colour]
    encoded = tf.where(found, tf.strings.join(parts), b"")
    return encoded, tf.where(found, rows, 0), tf.where(found, columns, 0)


def on_screen(encoded, image):
    """A frame put on its screen as Pillow does: around it is one colour.

    Args:
        encoded: string scalar, a GIF that `first_frame` has cut.
        image: uint8 (H, W, 3), its frame.

    Returns:
        uint8 (rows, columns, 3), as `first_frame` gave them.

    Example:

    >>> on_screen(encoded, tf.io.decode_image(encoded, 3, expand_animations=False))
    """
    tail = tf.io.decode_raw(tf.strings.substr(encoded, -_TAIL, _TAIL), tf.uint8)
    low, high = tf.unstack(tf.reshape(tf.cast(tail[:8], tf.int32), (4, 2)), axis=1)
    left, top, width, height = tf.unstack(low + 256 * high)
    first = tf.stack([top, left])
    last = tf.maximum(tf.stack([height, width]) - first - tf.shape(image)[:2], 0)

    def padded(image=image):
        paddings = tf.concat([tf.stack([first, last], 1), [[0, 0]]], 0)
        inside = tf.pad(tf.ones_like(image[..., :1], tf.bool), paddings)
        image = tf.where(inside, tf.pad(image, paddings), tail[8:])
        return tf.ensure_shape(image, (None, None, 3))

    return tf.cond(tf.reduce_any(first + last > 0), padded, lambda: image)


def _after_extensions(file, place, steps):
    """Where the extensions have ended, the steps left then, and the transparent colour's place."""

    def after_one(place, steps, fill):
        clear = tf.equal(file.at(place + 1), _CONTROL) & (file.at(place + 3) & _TRANSPARENT > 0)
        fill = tf.where(clear, file.at(place + 6), fill)
        return *_after_blocks(file, place + 2, steps - 1), fill

    return tf.while_loop(
        lambda place, steps, _: tf.equal(file.at(place), _EXTENSION) & (steps > 0),
        after_one,
        (place, steps, 0),
    )


def _after_blocks(file, place, steps):
    """Where a chain of blocks that begins at `place` has ended, and the steps left then."""
    place, steps = tf.while_loop(
        lambda place, steps: (file.at(place) > 0) & (steps > 0),
        lambda place, steps: (place + file.at(place) + 1, steps - 1),
        (place, steps),
    )
    return place + 1, steps


def _table_size(flags):
    """Bytes of a table of colours, by the flags before it."""
    return tf.where(flags & _COLOURS > 0, 3 * tf.bitwise.left_shift(2, flags & 7), 0)
