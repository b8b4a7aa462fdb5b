"""keras-cv's RandomChoice and RandomAugmentationPipeline, drawing from seeds."""

import keras
import keras_cv
import tensorflow as tf

from training.augmentation.branches import in_cluster, one_of
from training.augmentation.layer import SEEDS, SeededLayer
from training.augmentation.operations import (
    DRAWS,
    FILL,
    OPERATIONS,
    RandomOperation,
    motions,
    numbers_of,
)
from training.augmentation.placement import placed
from training.augmentation.policy import parse_policy
from training.augmentation.seeds import fold, uniform


@keras.saving.register_keras_serializable(package="regionvit_training")
class RandomChoice(SeededLayer, keras_cv.layers.RandomChoice):
    """Passes each image, or each batch, to one of several layers; only that one is computed.

    Args:
        layers: a list of `SeededLayer`s.
        probabilities: how often each is drawn, floats that add up to 1; by default alike.
        batchwise: whether one layer takes the whole batch, as MixUp and CutMix need it; the seed
            is then one int32 (2,) a batch.
        **kwargs: as `SeededLayer`.

    Raises:
        ValueError: `probabilities` does not fit.

    Example:

    >>> mix = RandomChoice([MixUp(0.8), CutMix(1.0)], batchwise=True)
    >>> batches.map(lambda images, labels: mix({"images": images, "labels": labels}))
    """

    def __init__(self, layers, probabilities=None, batchwise=False, **kwargs):
        kwargs.pop("auto_vectorize", None)  # never: it would compute all branches
        super().__init__(layers=layers, batchwise=batchwise, **kwargs)
        if probabilities is not None and (
            len(probabilities) != len(layers)
            or min(probabilities) < 0
            or abs(sum(probabilities) - 1) > 1e-6
        ):
            raise ValueError(
                f"`probabilities` must be {len(layers)} numbers that add up to 1, one for each "
                f"layer. Received: {probabilities}"
            )
        self.probabilities = probabilities

    def _augment(self, inputs):
        seed = inputs[SEEDS]
        even, last = uniform(seed), len(self.layers) - 1
        if self.probabilities is None:
            chosen = tf.cast(even * (last + 1), tf.int32)
        else:
            bounds = tf.cumsum(tf.constant(self.probabilities, tf.float32))
            chosen = tf.reduce_sum(tf.cast(even >= bounds, tf.int32))
        handed = {**inputs, SEEDS: fold(seed, 0)}
        branches = [self._curry_call_layer(handed, layer) for layer in self.layers]
        return {**tf.switch_case(tf.minimum(chosen, last), branches), SEEDS: seed}

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "probabilities": self.probabilities}

    @classmethod
    def from_config(cls, config):
        """Rebuilds the layers inside, too."""
        return cls(**{**config, "layers": [deserialize_layer(layer) for layer in config["layers"]]})


@keras.saving.register_keras_serializable(package="regionvit_training")
class RandAugment(SeededLayer, keras_cv.layers.RandomAugmentationPipeline):
    """RandAugment with timm's operations, magnitudes and meaning, drawn for each image.

    Args:
        policy: such as "rand-m9-mstd0.5-inc1", see `Policy`.
        fill: the colour that shows beside a moved image, a number a channel on 0..255; training
            takes the mean of the data.
        **kwargs: as `SeededLayer`.

    Call arguments:
        inputs: as `SeededLayer`; whole numbers on 0..255, of 3 channels or 1. A grey image stays
            as it is where "Color" is drawn; the other operations act as on colour.

    Example:

    >>> dataset.map(RandAugment("rand-m9-mstd0.5-inc1"))
    """

    def __init__(self, policy="rand-m9-mstd0.5-inc1", fill=FILL, **kwargs):
        settings = parse_policy(policy)
        layers = [
            RandomOperation(
                operation,
                magnitude=settings.magnitude,
                magnitude_std=settings.magnitude_std,
                magnitude_max=settings.magnitude_max,
                increasing=settings.increasing,
                fill=fill,
            )
            for operation in OPERATIONS
        ]
        super().__init__(
            layers=layers,
            augmentations_per_image=settings.ops,
            rate=settings.probability,
            **kwargs,
        )
        self.policy = policy
        self.fill = tuple(float(value) for value in fill)
        self.settings = settings

    def draw(self, seed):
        """What all slots of one image do, at one go: four vectors of as many as there are slots.

        The number of the operation int32 (one past the last for none), level, sign, bicubic.
        """
        slots, count = self.augmentations_per_image, len(self.layers)
        even = uniform(seed, (2 + DRAWS, slots))
        chosen = tf.minimum(tf.cast(even[0] * count, tf.int32), count - 1)
        chosen = tf.where(even[1] < self.rate, chosen, count)
        return chosen, *numbers_of(even[2:], self.settings)

    def augment_image(self, image, transformation):
        """Carries out the operations of all slots, float32 (H, W, C) on 0..255."""
        fill = self.fill_inline if in_cluster() else self.fill_slot
        for slot in range(self.augmentations_per_image):
            image = fill(image, *(numbers[slot] for numbers in transformation))
        return image

    def placement_of(self, transformation, size):
        """The `Placement` by the operations of all slots."""
        chosen, level, sign, _ = transformation
        return placed(motions(chosen, sign * level, size), size)

    # A function of its own is traced once, not for each slot and each dataset: seconds less.
    @tf.function(autograph=False)
    def fill_slot(self, image, chosen, *numbers):
        """`fill_inline` as a function of its own."""
        return self.fill_inline(image, chosen, *numbers)

    def fill_inline(self, image, chosen, *numbers):
        """One drawn operation on an image (H, W, C), or none."""
        branches = [
            lambda image, *numbers, layer=layer: layer.augment_image(image, layer.drawn(*numbers))
            for layer in self.layers
        ]
        return one_of(chosen, [*branches, lambda image, *numbers: image], image, *numbers)

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        for made_of_policy in ("layers", "augmentations_per_image", "rate", "auto_vectorize"):
            del config[made_of_policy]
        return {**config, "policy": self.policy, "fill": self.fill}

    @classmethod
    def from_config(cls, config):
        """A layer with these arguments."""
        return cls(**config)


def deserialize_layer(layer):
    """A layer from its configuration; a layer as it is."""
    return keras.saving.deserialize_keras_object(layer) if isinstance(layer, dict) else layer
