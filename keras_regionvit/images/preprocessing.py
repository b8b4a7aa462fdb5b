"""A batch of encoded pictures made into a batch of images, inside a SavedModel.

The pixels are those of `image_input.evaluation_image`, bit for bit. Here a picture that cannot be
read must not end the whole request. TensorFlow's only way to go on after an error is `tf.data`,
which optimises its functions anew in each call: a fifth of a second for all of
`evaluation_image`. So there nothing is done but decode; headers are looked at before, and the
resize comes after.

B: pictures; S: side of the images; C: channels.
"""

import dataclasses

import tensorflow as tf

from keras_regionvit.images.decode import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MAX_PIXELS,
    bmp_colours,
    center_crop,
    decode_jpeg,
    integer,
    normalize,
    plain_bmp,
    starts,
    with_channels,
    within_limits,
)
from keras_regionvit.images.gif import first_frame, on_screen

AT_ONCE = 4  # pictures of a request that are resized side by side


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What becomes of a picture before a model sees it; see `image_input.evaluation_image`.

    Attributes:
        size: S.
        crop_ratio: share of the shorter side that is kept, in (0, 1].
        mean: of each of the C channels, on 0..255.
        std: likewise, positive. A model that takes pixels on 0..255 has means 0 and std 1.
        max_pixels: pictures with more, by their headers, are not decoded; nor are those with a
            side of more than `image_input.MAX_SIDE`. A picture takes up to 15 bytes a pixel, and
            `AT_ONCE` of a request are worked on at once.

    Raises:
        ValueError: a figure is out of range.

    Example:

    >>> Preprocessing(size=224)
    >>> Preprocessing(28, crop_ratio=1.0, mean=(0.0,), std=(1.0,))  # grey pixels on 0..255
    """

    size: int
    crop_ratio: float = 224 / 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    max_pixels: int = MAX_PIXELS

    def __post_init__(self):
        for name, least in (("size", 1), ("max_pixels", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"`{name}` must be a positive integer. Received: {value!r}")
        if not 0 < self.crop_ratio <= 1:
            raise ValueError(f"`crop_ratio` must lie in (0, 1]. Received: {self.crop_ratio}")
        if not len(self.mean) == len(self.std) in (1, 3) or min(self.std) <= 0:
            raise ValueError(
                "`mean` and `std` need one number for each of 1 or 3 channels, `std` positive "
                f"ones. Received: {self.mean} and {self.std}"
            )

    @property
    def channels(self):
        """C."""
        return len(self.mean)


def evaluation_batch(encoded, preprocessing, at_least=0):
    """The images of encoded pictures; those that cannot be read are zeros.

    Args:
        encoded: string (B,): JPEG, PNG, GIF (its first frame) or BMP.
        preprocessing: a `Preprocessing`.
        at_least: how many images to return at least; rows of zeros are added.

    Returns:
        `(images, valid)`: float32 (B, S, S, C), and bool (B,), false for a picture that
        `image_input.decode_image` refuses.

    Raises:
        tf.errors.InvalidArgumentError: when run, if `encoded` is not of rank 1.

    Example:

    >>> images, valid = evaluation_batch(tf.constant([data, b"no picture"]), Preprocessing(224))
    >>> valid.numpy()
    array([ True, False])
    """
    size, channels = preprocessing.size, preprocessing.channels
    encoded = tf.ensure_shape(encoded, (None,))
    count = tf.size(encoded)
    encoded = _harmless(encoded, preprocessing.max_pixels)
    pictures = iter(_decoded(encoded, preprocessing.max_pixels))
    done = tf.TensorArray(
        tf.float32, size=tf.maximum(count, at_least), element_shape=(size, size, channels)
    )

    def finished(index, image):
        image.set_shape((None, None, 3))
        data = encoded[index]
        image, fine = tf.cond(
            starts(data, b"BM"), lambda: bmp_colours(data, image), lambda: (image, True)
        )
        image = tf.cond(starts(data, b"GIF8"), lambda: on_screen(data, image), lambda: image)
        image = with_channels(image, channels)
        image = center_crop(image, size, round(size / preprocessing.crop_ratio))
        image = normalize(image, preprocessing.mean, preprocessing.std)
        return tf.where(fine, image, 0.0), fine

    def step(_, done, valid):
        picture = pictures.get_next_as_optional()

        def add():
            index, image = picture.get_value()
            image, fine = finished(index, image)
            return done.write(index, image), tf.tensor_scatter_nd_update(valid, [[index]], [fine])

        more = picture.has_value()
        return more, *tf.cond(more, add, lambda: (done, valid))

    _, done, valid = tf.while_loop(
        lambda more, *_: more,
        step,
        (True, done, tf.zeros((count,), tf.bool)),
        parallel_iterations=AT_ONCE,
    )
    return tf.ensure_shape(done.stack(), (None, size, size, channels)), valid


def _decoded(encoded, max_pixels):
    """A data set of `(place in the batch, uint8 (H, W, 3))` of the pictures that can be decoded."""

    def decode(index, data):
        def jpeg():
            rows, columns, _ = tf.unstack(tf.io.extract_jpeg_shape(data))
            return decode_jpeg(tf.where(within_limits(rows, columns, max_pixels), data, b""))

        def other():
            return tf.io.decode_image(data, channels=3, expand_animations=False)

        return index, tf.cond(tf.io.is_jpeg(data), jpeg, other)

    pictures = tf.data.Dataset.from_tensor_slices((tf.range(tf.size(encoded)), encoded))
    pictures = pictures.map(decode, num_parallel_calls=2).ignore_errors()
    options = tf.data.Options()  # what costs time in each call and gains nothing here
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return pictures.with_options(options)


def _harmless(encoded, max_pixels):
    """The pictures, GIFs cut after their first frame; empty where headers forbid to decode them."""
    encoded = tf.where(_readable(encoded, max_pixels), encoded, b"")  # which no decoder takes
    gif = starts(encoded, b"GIF8")

    def cut(data):
        data, rows, columns = first_frame(data)
        return tf.where(within_limits(rows, columns, max_pixels), data, b"")

    def picture(pair):
        return tf.cond(pair[1], lambda: cut(pair[0]), lambda: pair[0])

    def first_frames():
        return tf.map_fn(picture, (encoded, gif), fn_output_signature=tf.string)

    return tf.cond(tf.reduce_any(gif), first_frames, lambda: encoded)


def _readable(encoded, max_pixels):
    """Whether the headers are of pictures that may be decoded; all JPEGs pass."""
    png = starts(encoded, b"\x89PNG\r\n\x1a\n")
    gif, bmp = starts(encoded, b"GIF8"), starts(encoded, b"BM")

    def side(in_png, in_gif, in_bmp):
        others = tf.where(gif, integer(encoded, in_gif, 2), integer(encoded, in_bmp, 4))
        return tf.where(png, integer(encoded, in_png, 4, True), others)

    rows, columns = side(20, 8, 22), side(16, 6, 18)
    rows = tf.where(bmp, tf.abs(rows), rows)  # negative where the first is at the top
    return starts(encoded, b"\xff\xd8\xff") | (
        (png | gif | (bmp & plain_bmp(encoded))) & within_limits(rows, columns, max_pixels)
    )
