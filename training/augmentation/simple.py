"""Flip, colour jitter and random erasing."""

import itertools
import math

import keras
import tensorflow as tf

from training.augmentation import affine, color
from training.augmentation.branches import either
from training.augmentation.layer import SeededLayer
from training.augmentation.pixels import paste, size
from training.augmentation.placement import placed
from training.augmentation.seeds import ALGORITHM, split, uniform

# Boxes tried by random erasing before it leaves the image alone.
ATTEMPTS = 10
ORDERS = list(itertools.permutations(range(3)))


@keras.saving.register_keras_serializable(package="regionvit_training")
class RandomFlip(SeededLayer):
    """Mirrors an image left to right.

    Args:
        probability: how often.
        **kwargs: as `SeededLayer`.

    Example:

    >>> RandomFlip()(images)
    """

    def __init__(self, probability=0.5, **kwargs):
        super().__init__(**kwargs)
        self.probability = probability

    def draw(self, seed):
        """Whether to mirror, a boolean."""
        return uniform(seed) < self.probability

    def augment_image(self, image, transformation):
        """Mirrors (H, W, C) where told to."""
        return tf.cond(transformation, lambda: tf.reverse(image, [1]), lambda: image)

    def placement_of(self, transformation, size):
        """A mirrored image's `Placement`, or that of the image as it is."""
        step = tf.where(transformation, affine.mirror(size[1]), tf.eye(2, 3))
        return placed(step[None], size)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "probability": self.probability}


@keras.saving.register_keras_serializable(package="regionvit_training")
class ColorJitter(SeededLayer):
    """Changes brightness, contrast and saturation, in a drawn order.

    Each takes an enhance factor (see `color`) drawn evenly from `1 - strength` to `1 + strength`,
    not below 0. keras-cv's RandomColorJitter adds to the brightness instead, and has one order.

    Args:
        strength: one float for all three or three floats.
        **kwargs: as `SeededLayer`.

    Call arguments:
        inputs: as `SeededLayer`; whole numbers on 0..255, of 3 channels or 1. Saturation leaves
            a grey image as it is.

    Example:

    >>> ColorJitter(0.4)(images)
    """

    def __init__(self, strength=0.4, **kwargs):
        super().__init__(**kwargs)
        three = (strength,) * 3 if isinstance(strength, int | float) else tuple(strength)
        if len(three) != 3 or min(three) < 0:
            raise ValueError(
                "`strength` must be a number from 0 on, or three of them for brightness, contrast "
                f"and saturation. Received: {strength}"
            )
        self.strength = three

    def draw(self, seed):
        """Factors (3,) and the index of an order."""
        even = uniform(seed, (4,))
        low = tf.constant([max(0.0, 1.0 - strength) for strength in self.strength])
        high = tf.constant([1.0 + strength for strength in self.strength])
        order = tf.minimum(tf.cast(even[3] * len(ORDERS), tf.int32), len(ORDERS) - 1)
        return low + (high - low) * even[:3], order

    def augment_image(self, image, transformation):
        """Carries out the three changes, float32 (H, W, C) on 0..255."""
        factors, order = transformation
        changes = [color.brightness, color.contrast, color.saturation]
        for position in range(3):
            turn = tf.gather([order[position] for order in ORDERS], order)
            branches = [
                lambda image=image, i=i, change=change: change(image, factors[i])
                for i, change in enumerate(changes)
            ]
            image = tf.switch_case(turn, branches)
        return image

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "strength": self.strength}


@keras.saving.register_keras_serializable(package="regionvit_training")
class RandomErasing(SeededLayer):
    """Covers a box with noise: mean 0 and standard deviation 1, drawn for each value.

    It belongs after normalisation. The box has an even share of the image's area and a
    log-even ratio of height to width; one that does not fit is drawn again, up to ten times.
    keras-cv's RandomCutout draws sides instead of area, and one colour or none.

    Args:
        probability: how often.
        area: least and greatest share of the image.
        ratio: least and greatest height over width.
        **kwargs: as `SeededLayer`.

    Example:

    >>> RandomErasing(0.25)(normalised_images)
    """

    def __init__(self, probability=0.25, area=(0.02, 1 / 3), ratio=(0.3, 1 / 0.3), **kwargs):
        super().__init__(**kwargs)
        self.probability, self.area, self.ratio = probability, tuple(area), tuple(ratio)

    def augment_image(self, image, transformation):
        """Erases from (H, W, C) with what follows from the seed `transformation`."""
        return either(
            uniform(transformation) < self.probability,
            self.erase,
            lambda image, seed: image,
            image,
            transformation,
        )

    def erase(self, image, seed):
        """Erases one box from (H, W, C), or none if all attempts fail."""
        box_seed, noise_seed = split(seed, 2)
        top, left, box_height, box_width = self.box(box_seed, *size(image)[:2])
        noise = tf.random.stateless_normal(
            tf.stack([box_height, box_width, size(image)[2]]), noise_seed, alg=ALGORITHM
        )
        return paste(image, tf.cast(noise, image.dtype), top, left)

    def box(self, seed, height, width):
        """A box inside of `height` by `width` pixels: top, left, rows, columns, int32 ()."""
        height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
        even = uniform(seed, (ATTEMPTS + 1, 2))
        area = (self.area[0] + (self.area[1] - self.area[0]) * even[:-1, 0]) * height * width
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = tf.exp(low + (high - low) * even[:-1, 1])
        rows, columns = tf.round(tf.sqrt(area * ratio)), tf.round(tf.sqrt(area / ratio))
        fits = (rows < height) & (columns < width)
        first = tf.argmax(tf.cast(fits, tf.int32))
        found = tf.cast(tf.reduce_any(fits), tf.float32)
        rows, columns = found * rows[first], found * columns[first]
        corner = even[-1] * tf.stack([height - rows + 1, width - columns + 1])
        return [tf.cast(number, tf.int32) for number in (corner[0], corner[1], rows, columns)]

    def get_config(self):
        """The arguments."""
        return {
            **super().get_config(),
            "probability": self.probability,
            "area": self.area,
            "ratio": self.ratio,
        }
