"""The first frame of a GIF, found without decoding.

TensorFlow's decoder unpacks every frame before it gives the first, and a frame may be larger than
the header says: a file of 100 kB can take gigabytes. So the file is cut after its first frame,
whose own size can then be looked at (GIF89a specification, sections 18 to 24). The decoder also
paints what is transparent black and knows no screen that is larger than the frame; both are put
right here.
"""

import tensorflow as tf

_EXTENSION, _CONTROL, _IMAGE, _COLOURS, _TRANSPARENT = 0x21, 0xF9, 0x2C, 0x80, 1
_TAIL = (
    11  # bytes behind the trailer, for `on_screen`: left, top; the screen's width, height; colour
)


def first_frame(encoded):
    """Cuts a GIF after its first frame, and the extensions out, such as that of transparency.

    A file of thousands of tiny blocks counts as one without a frame: each block is a step here.

    Args:
        encoded: string scalar, a GIF.

    Returns:
        `(encoded, rows, columns)`: the shorter file, and int32 the sides of the picture, which is
        the screen and what of the frame lies beyond it; 0 if there is no whole frame or no screen.

    Example:

    >>> encoded, rows, columns = first_frame(tf.io.read_file("waving.gif"))
    """
    data = tf.concat([tf.io.decode_raw(encoded, tf.uint8), tf.zeros(1, tf.uint8)], 0)
    end = tf.size(data) - 1

    def at(place):
        return tf.cast(data[tf.minimum(place, end)], tf.int32)  # 0 beyond the end

    def short(place):
        return at(place) + 256 * at(place + 1)

    head = 13 + _table(at(10))
    steps = 1024 + end // 64  # blocks have 255 bytes, but for the last of a chain

    def after_blocks(place, left):
        """Where a chain of blocks that begins at `place` has ended, and the steps left then."""
        place, left = tf.while_loop(
            lambda p, n: (at(p) > 0) & (n > 0), lambda p, n: (p + at(p) + 1, n - 1), (place, left)
        )
        return place + 1, left

    def after_extension(place, left, fill):
        clear = tf.equal(at(place + 1), _CONTROL) & (at(place + 3) & _TRANSPARENT > 0)
        return *after_blocks(place + 2, left - 1), tf.where(clear, at(place + 6), fill)

    place, left, fill = tf.while_loop(
        lambda p, n, _: tf.equal(at(p), _EXTENSION) & (n > 0), after_extension, (head, steps, 0)
    )
    rows = tf.maximum(short(8), short(place + 3) + short(place + 7))
    columns = tf.maximum(short(6), short(place + 1) + short(place + 5))
    found = tf.equal(at(place), _IMAGE)
    for place_of_side in (6, 8, place + 5, place + 7):
        found &= short(place_of_side) > 0
    # after the descriptor and the code size
    cut, left = after_blocks(place + 11 + _table(at(place + 9)), left)
    found &= (left > 0) & (cut <= end)
    table = tf.where(at(place + 9) & _COLOURS > 0, place + 10, 13)

    def part(begin, count):
        return tf.strings.substr(encoded, tf.minimum(begin, end), count)

    parts = [part(0, head), b",\0\0\0\0", part(place + 5, cut - place - 5), b";"]
    colour = tf.strings.substr(part(table + 3 * fill, 3) + b"\0\0\0", 0, 3)
    parts += [part(place + 1, 4), part(6, 4), colour]
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


def _table(flags):
    """Bytes of a table of colours."""
    return tf.where(flags & _COLOURS > 0, 3 * tf.bitwise.left_shift(2, flags & 7), 0)
