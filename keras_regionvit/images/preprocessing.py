"""What becomes of an image before a model sees it: decode, resize, crop, normalise.

H, W: rows and columns of an image; S: side of the square that comes out; C: channels.
"""

import dataclasses

import tensorflow as tf

from keras_regionvit.checks.kinds import (
    finite_numbers,
    positive_integer,
    positive_number,
    refuse,
    shown,
)
from keras_regionvit.imagenet import MEAN, STD
from keras_regionvit.images.decode import MAX_PIXELS, decode_image
from keras_regionvit.images.resize import center_crop

_COUNTS = ("size", "max_pixels")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The settings of `evaluation_image`, plain data.

    Attributes:
        size: S.
        crop_ratio: share of the shorter side that is kept, in (0, 1].
        mean: of each of the C channels, on 0..255.
        std: likewise, positive. A model that takes pixels on 0..255 has means 0 and std 1.
        max_pixels: images with more, by their headers, are not decoded; nor are those with a side
            of more than `decode.MAX_SIDE`. An image takes up to 15 bytes a pixel.

    Raises:
        ValueError: a setting is out of range.

    Example:

    >>> Preprocessing(size=224)
    >>> Preprocessing(28, crop_ratio=1.0, mean=(0.0,), std=(1.0,))  # grey pixels on 0..255
    """

    size: int
    crop_ratio: float = 224 / 256
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    max_pixels: int = MAX_PIXELS

    def __post_init__(self):
        plain = {name: positive_integer(name, getattr(self, name)) for name in _COUNTS}
        plain["crop_ratio"] = positive_number("crop_ratio", self.crop_ratio)
        if plain["crop_ratio"] > 1:
            refuse("crop_ratio", "a number in (0, 1]", self.crop_ratio)
        plain["mean"], plain["std"] = finite_numbers(self.mean), finite_numbers(self.std)
        if not len(plain["mean"]) == len(plain["std"]) in (1, 3) or min(plain["std"]) <= 0:
            raise ValueError(
                "`mean` and `std` need one number for each of 1 or 3 channels, `std` positive "
                f"ones. Received: {shown(self.mean)} and {shown(self.std)}"
            )
        for name, value in plain.items():  # as JSON knows them
            object.__setattr__(self, name, value)

    @property
    def channels(self):
        """C."""
        return len(self.mean)


def evaluation_image(image, size, crop_ratio=224 / 256, mean=MEAN, std=STD, max_pixels=MAX_PIXELS):
    """The middle of an image as a classifier is evaluated on it: resized, cropped and normalised.

    The shorter side becomes `round(size / crop_ratio)` pixels (bicubic with antialiasing, rounded
    and clipped to whole values as Pillow does), the longer one keeps the proportions.

    Args:
        image: string scalar, an encoded image; or uint8 (H, W, C).
        size: S; this and the other settings as for `Preprocessing`.
        crop_ratio: share of the shorter side that is kept, in (0, 1].
        mean: of each of the C channels, on 0..255.
        std: likewise.
        max_pixels: as for `decode_image`.

    Returns:
        float32 (S, S, C), `(pixel - mean) / std`.

    Raises:
        ValueError: a setting is out of range, or does not fit `image`.
        tf.errors.InvalidArgumentError: as for `decode_image`.

    Example:

    >>> evaluation_image(tf.io.read_file("photo.jpg"), size=224).shape
    TensorShape([224, 224, 3])
    """
    preprocessing = Preprocessing(size, crop_ratio, mean, std, max_pixels)
    image = tf.convert_to_tensor(image)
    if image.dtype == tf.string:
        image = decode_image(image, preprocessing.channels, max_pixels)
    elif image.dtype != tf.uint8:
        raise ValueError(f"`image` must be encoded bytes or uint8. Received: {image.dtype.name}")
    return crop_and_normalize(image, preprocessing)


def crop_and_normalize(image, preprocessing):
    """What follows the decoding, of one image and of a served batch alike.

    Args:
        image: uint8 (H, W, C).
        preprocessing: a `Preprocessing`.

    Returns:
        float32 (S, S, C).

    Raises:
        ValueError: `image` has other channels than `preprocessing`.

    Example:

    >>> crop_and_normalize(photo, Preprocessing(224)).shape
    TensorShape([224, 224, 3])
    """
    size = preprocessing.size
    image = center_crop(image, size, shorter=round(size / preprocessing.crop_ratio))
    return normalize(image, preprocessing.mean, preprocessing.std)


def normalize(image, mean=MEAN, std=STD):
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
