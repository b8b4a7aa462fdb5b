"""Stochastic depth (Huang et al., 2016)."""

import keras
from keras import ops

from keras_regionvit.checks.kinds import keep_checked, whole_number


def rising_rates(rate, depths):
    """The rates of all encoders, which rise linearly from 0 to `rate`: a list of lists, by stage.

    Example:

    >>> rising_rates(0.5, (1, 2))
    [[0.0], [0.25, 0.5]]
    """
    places, last = iter(range(sum(depths))), max(sum(depths) - 1, 1)
    return [[rate * next(places) / last for _ in range(depth)] for depth in depths]


@keras.saving.register_keras_serializable(package="keras_regionvit")
class DropPath(keras.layers.Layer):
    """Drops whole residual branches in training, each sample by itself.

    The kept ones are divided by the probability of keeping, so that the
    expectation is unchanged.

    Args:
        rate: float, probability of dropping, in [0, 1).
        axes: int, how many leading axes tell samples apart: 1 draws per image, 2 per
            image and region.
        seed: optional int, the seed of the draws.

    Input and output shape: any, the same, float.

    Raises:
        ValueError: `rate` is outside [0, 1).

    Example:

    >>> DropPath(0.1)(keras.ops.ones((2, 3, 4)), training=True).shape
    (2, 3, 4)
    """

    def __init__(self, rate, axes=1, seed=None, **kwargs):
        super().__init__(**kwargs)
        keep_checked(self, rate=rate, axes=axes)
        self.seed = None if seed is None else whole_number("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed) if self.rate else None
        self.built = True

    def draw(self, inputs, training=False):
        """The factor of each sample, 0 or 1 / (1 - rate), to multiply branches with.

        Args:
            inputs: a tensor whose leading axes tell the samples apart.
            training: bool, whether anything is dropped.

        Returns:
            A tensor that broadcasts against `inputs`, or `None` if nothing is dropped.
        """
        if not training or not self.rate:
            return None
        shape = ops.shape(inputs)[: self.axes] + (1,) * (len(inputs.shape) - self.axes)
        keep = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) >= self.rate
        return ops.cast(keep, inputs.dtype) / (1 - self.rate)

    def call(self, inputs, training=False):
        """Returns `inputs` with a share of its samples zeroed if `training`."""
        factor = self.draw(inputs, training)
        return inputs if factor is None else inputs * factor

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "axes": self.axes,
            "seed": self.seed,
        }
