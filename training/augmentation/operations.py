"""The fifteen operations of RandAugment: a keras-cv layer each, at a drawn magnitude."""

import dataclasses

import keras
import tensorflow as tf

from keras_regionvit.imagenet import MEAN
from training.augmentation import affine, color, geometry
from training.augmentation.layer import SeededLayer
from training.augmentation.placement import placed
from training.augmentation.policy import Policy
from training.augmentation.seeds import uniform

DRAWS = 3  # even draws of which the numbers of one operation are made
FILL = tuple(float(round(value)) for value in MEAN)  # in whole numbers, as pixels are


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What an operation may use of its draw; all scalars.

    `level` is the magnitude over 10, `sign` 1 or -1, `bicubic` a boolean, `fill` a colour.
    """

    level: tf.Tensor
    sign: tf.Tensor
    bicubic: tf.Tensor
    fill: tuple
    increasing: bool

    @property
    def enhance(self):
        """Enhance factor: 1 +- 0.9 x level, or 0.1 to 1.9."""
        if self.increasing:
            return tf.maximum(0.1, 1.0 + self.sign * self.level * 0.9)
        return self.level * 1.8 + 0.1

    @property
    def bits(self):
        """Bits that posterize keeps: 4 to 0 as the level rises, or 0 to 4."""
        bits = tf.floor(self.level * 4)
        return tf.maximum(4 - bits, 0.0) if self.increasing else bits

    @property
    def threshold(self):
        """Where solarize begins: 256 to 0 as the level rises, or 0 to 256."""
        threshold = tf.minimum(tf.floor(self.level * 256), 256.0)
        return 256 - threshold if self.increasing else threshold

    def geometric(self, operation):
        """Arguments of a key of `REACHES`."""
        return self.sign * self.level * REACHES[operation], self.bicubic, self.fill


# How far operations that move pixels reach at level 1: degrees, or shares of the image's sides.
REACHES = {"Rotate": 30.0, "ShearX": 0.3, "ShearY": 0.3, "TranslateX": 0.45, "TranslateY": 0.45}
OPERATIONS = {
    "AutoContrast": lambda image, drawn: color.auto_contrast(image),
    "Equalize": lambda image, drawn: color.equalize(image),
    "Invert": lambda image, drawn: color.invert(image),
    "Rotate": lambda image, drawn: geometry.rotate(image, *drawn.geometric("Rotate")),
    "Posterize": lambda image, drawn: color.posterize(image, drawn.bits),
    "Solarize": lambda image, drawn: color.solarize(image, drawn.threshold),
    "SolarizeAdd": lambda image, drawn: color.solarize_add(
        image, tf.minimum(tf.floor(drawn.level * 110), 128.0)
    ),
    "Color": lambda image, drawn: color.saturation(image, drawn.enhance),
    "Contrast": lambda image, drawn: color.contrast(image, drawn.enhance),
    "Brightness": lambda image, drawn: color.brightness(image, drawn.enhance),
    "Sharpness": lambda image, drawn: color.sharpness(image, drawn.enhance),
    "ShearX": lambda image, drawn: geometry.shear_x(image, *drawn.geometric("ShearX")),
    "ShearY": lambda image, drawn: geometry.shear_y(image, *drawn.geometric("ShearY")),
    "TranslateX": lambda image, drawn: geometry.translate_x(image, *drawn.geometric("TranslateX")),
    "TranslateY": lambda image, drawn: geometry.translate_y(image, *drawn.geometric("TranslateY")),
}


def numbers_of(even, policy):
    """Levels float32 (n,), signs 1.0 or -1.0, and booleans, from even draws (DRAWS, n)."""
    magnitude = tf.fill(even[2].shape, float(policy.magnitude))
    if policy.magnitude_std > 100:
        magnitude *= even[2]
    elif policy.magnitude_std > 0:
        magnitude += policy.magnitude_std * tf.math.ndtri(even[2])  # normal
    level = tf.clip_by_value(magnitude, 0.0, policy.magnitude_max) / 10
    return level, tf.where(even[0] < 0.5, -1.0, 1.0), even[1] < 0.5


def motions(chosen, amounts, size):
    """Where operations put the pixels of an image.

    Args:
        chosen: int32 (n,), their numbers in `OPERATIONS`; one past the last is none.
        amounts: float32 (n,), sign times level of each.
        size: rows and columns of the image, ints or int32.

    Returns:
        float32 (n, 2, 3), a map each, see `affine`.
    """
    names = [*OPERATIONS, None]
    reaches = [[reach * (name == key) for key, reach in REACHES.items()] for name in names]
    numbers = tf.gather(tf.constant(reaches, tf.float32), chosen) * amounts[:, None]
    return affine.motion(numbers, size)


@keras.saving.register_keras_serializable(package="regionvit_training")
class RandomOperation(SeededLayer):
    """One of `OPERATIONS` at a magnitude drawn for each image.

    Args:
        operation: a key of `OPERATIONS`.
        magnitude: as in `Policy`, and so are the next three.
        magnitude_std: see there.
        magnitude_max: see there.
        increasing: see there.
        fill: the colour that shows beside a moved image, a number a channel on 0..255.
        **kwargs: as `SeededLayer`.

    Raises:
        ValueError: `operation` is unknown.

    Example:

    >>> RandomOperation("Rotate", magnitude=9.0)(images)
    """

    def __init__(
        self,
        operation,
        magnitude=9.0,
        magnitude_std=0.5,
        magnitude_max=10.0,
        increasing=True,
        fill=FILL,
        **kwargs,
    ):
        if operation not in OPERATIONS:
            raise ValueError(
                f"`operation` must be one of {', '.join(OPERATIONS)}. Received: {operation!r}"
            )
        kwargs.setdefault("name", operation.lower())
        super().__init__(**kwargs)
        self.operation = operation
        self.policy = Policy(
            magnitude=magnitude,
            magnitude_std=magnitude_std,
            magnitude_max=magnitude_max,
            increasing=increasing,
        )
        self.fill = tuple(float(value) for value in fill)

    def draw(self, seed):
        """Magnitude, direction and interpolation of one image, from its seed."""
        numbers = numbers_of(uniform(seed, (DRAWS, 1)), self.policy)
        return self.drawn(*(number[0] for number in numbers))

    def drawn(self, level, sign, bicubic):
        """The transformation that these scalars make."""
        return Drawn(level, sign, bicubic, self.fill, self.policy.increasing)

    def augment_image(self, image, transformation):
        """Carries out the operation, float32 (H, W, C) on 0..255."""
        fill = transformation.fill
        if len(fill) != image.shape[-1]:
            raise ValueError(
                f"`fill` must have a number for each of the {image.shape[-1]} channels of the "
                f"images. Received: {fill}"
            )
        return OPERATIONS[self.operation](image, transformation)

    def placement_of(self, transformation, size):
        """The `Placement` by the operation."""
        chosen = tf.constant([list(OPERATIONS).index(self.operation)])
        amounts = tf.reshape(transformation.sign * transformation.level, (1,))
        return placed(motions(chosen, amounts, size), size)

    def get_config(self):
        """The arguments."""
        policy = self.policy
        return {
            **super().get_config(),
            "operation": self.operation,
            "magnitude": policy.magnitude,
            "magnitude_std": policy.magnitude_std,
            "magnitude_max": policy.magnitude_max,
            "increasing": policy.increasing,
            "fill": self.fill,
        }
