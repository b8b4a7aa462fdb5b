"""A batch of encoded images made into a batch of tensors, inside a SavedModel.

The pixels are those of `evaluation_image`, bit for bit. Here an image that cannot be read must not
end the whole request. TensorFlow's only way to go on after an error is `tf.data`, which optimises
its functions in each call: a fifth of a second for all of `evaluation_image`. So there nothing is
done but decode; headers are looked at before, and the resize comes after.

B: images; S: side of the squares that come out; C: channels.
"""

import tensorflow as tf

from keras_regionvit.images.bmp import plain_bmp
from keras_regionvit.images.decode import as_pillow, decode_jpeg, with_channels, within_limits
from keras_regionvit.images.gif import first_frame
from keras_regionvit.images.headers import BMP, GIF, JPEG, PNG, sides, starts
from keras_regionvit.images.preprocessing import crop_and_normalize

AT_ONCE = 4  # images of a request that are resized side by side


def evaluation_batch(encoded, preprocessing, at_least=0):
    """Encoded images as `evaluation_image` makes them; those that cannot be read are zeros.

    Args:
        encoded: string (B,): JPEG, PNG, GIF (its first frame) or BMP.
        preprocessing: a `Preprocessing`.
        at_least: how many images to return at least; rows of zeros are added.

    Returns:
        `(images, valid)`: float32 (B, S, S, C), and bool (B,), false for an image that
        `decode_image` refuses.

    Raises:
        tf.errors.InvalidArgumentError: when run, if `encoded` is not of rank 1.

    Example:

    >>> images, valid = evaluation_batch(tf.constant([data, b"no image"]), Preprocessing(224))
    >>> valid.numpy()
    array([ True, False])
    """
    size, channels = preprocessing.size, preprocessing.channels

    def make(image):
        return (crop_and_normalize(with_channels(image, channels), preprocessing),)

    specs = (tf.TensorSpec((size, size, channels), tf.float32),)
    (images,), valid = decoded_batch(encoded, make, specs, preprocessing.max_pixels, at_least)
    return images, valid


def decoded_batch(encoded, make, specs, max_pixels, at_least=0):
    """What is made of encoded images; zeros of those that cannot be read.

    Args:
        encoded: string (B,): JPEG, PNG, GIF (its first frame) or BMP.
        make: function of an image, uint8 (H, W, 3), that gives a tuple of tensors.
        specs: the `tf.TensorSpec` of each of them.
        max_pixels: as for `decode_image`.
        at_least: how many rows to return at least; rows of zeros are added.

    Returns:
        `(made, valid)`: a tuple of tensors with a row for each image, and bool (B,), false for an
        image that `decode_image` refuses.

    Raises:
        tf.errors.InvalidArgumentError: when run, if `encoded` is not of rank 1.

    Example:

    >>> specs = (tf.TensorSpec((3,), tf.int32),)
    >>> (shapes,), valid = decoded_batch(encoded, lambda image: (tf.shape(image),), specs, 10**8)
    """
    encoded = tf.ensure_shape(encoded, (None,))
    count = tf.size(encoded)
    encoded = _harmless(encoded, max_pixels)
    decoded = iter(_decoded(encoded, max_pixels))
    rows = tf.maximum(count, at_least)
    done = tuple(tf.TensorArray(x.dtype, size=rows, element_shape=x.shape) for x in specs)

    def step(_, done, valid):
        following = decoded.get_next_as_optional()

        def add():
            index, image = following.get_value()
            made, fine = _finished(encoded[index], image, make)
            written = tuple(x.write(index, y) for x, y in zip(done, made, strict=True))
            return written, tf.tensor_scatter_nd_update(valid, [[index]], [fine])

        more = following.has_value()
        return more, *tf.cond(more, add, lambda: (done, valid))

    _, done, valid = tf.while_loop(
        lambda more, *_: more,
        step,
        (True, done, tf.zeros((count,), tf.bool)),
        parallel_iterations=AT_ONCE,
    )
    stacked = (
        tf.ensure_shape(x.stack(), (None, *y.shape)) for x, y in zip(done, specs, strict=True)
    )
    return tuple(stacked), valid


def _finished(encoded, image, make):
    """What is made of one image after decoding, and whether it is complete; zeros if not."""
    image.set_shape((None, None, 3))
    image, complete = as_pillow(encoded, image)
    made = (tf.where(complete, x, tf.zeros_like(x)) for x in make(image))
    return tuple(made), complete


def _decoded(encoded, max_pixels):
    """A data set of `(place in the batch, uint8 (H, W, 3))` of the images that can be decoded."""

    def decode(index, data):
        def jpeg():
            rows, columns, _ = tf.unstack(tf.io.extract_jpeg_shape(data))
            return decode_jpeg(tf.where(within_limits(rows, columns, max_pixels), data, b""))

        def other():
            return tf.io.decode_image(data, channels=3, expand_animations=False)

        return index, tf.cond(tf.io.is_jpeg(data), jpeg, other)

    decoded = tf.data.Dataset.from_tensor_slices((tf.range(tf.size(encoded)), encoded))
    decoded = decoded.map(decode, num_parallel_calls=2).ignore_errors()
    options = tf.data.Options()  # what costs time in each call and gains nothing here
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return decoded.with_options(options)


def _harmless(encoded, max_pixels):
    """The images, GIFs cut after their first frame; empty where headers forbid to decode them."""
    encoded = tf.where(_readable(encoded, max_pixels), encoded, b"")  # which no decoder takes
    is_gif = starts(encoded, GIF)

    def cut(data):
        data, rows, columns = first_frame(data)
        return tf.where(within_limits(rows, columns, max_pixels), data, b"")

    def first_frames():
        return tf.map_fn(
            lambda pair: tf.cond(pair[1], lambda: cut(pair[0]), lambda: pair[0]),
            (encoded, is_gif),
            fn_output_signature=tf.string,
        )

    return tf.cond(tf.reduce_any(is_gif), first_frames, lambda: encoded)


def _readable(encoded, max_pixels):
    """Whether the headers are of images that may be decoded; all JPEGs pass."""
    readable = starts(encoded, JPEG)
    for kind in (PNG, GIF, BMP):
        of_kind = starts(encoded, kind)
        if kind == BMP:
            of_kind &= plain_bmp(encoded)
        rows, columns = sides(encoded, kind)
        readable |= of_kind & within_limits(rows, columns, max_pixels)
    return readable
