"""Learning-rate schedules."""

import math

import keras
from keras import ops

OLD_ARGUMENTS = {
    "peak": "peak_learning_rate",
    "warmup_rate": "warmup_learning_rate",
    "floor": "min_learning_rate",
}


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to a curve, then follows that; for schedules to be derived from.

    Step `s` of the warm-up has `first + s / warmup_steps * (peak - first)`, with `first` and `peak`
    for the warm-up's and the peak learning rate. The curve counts from the first step, not from the
    end of the warm-up.

    Args:
        peak_learning_rate: highest learning rate.
        steps: length of the training in steps.
        warmup_steps: length of the warm-up, less than `steps`; 0 means none.
        warmup_learning_rate: the rate at step 0 of the warm-up.
        every: the rate changes only every so many steps.

    Raises:
        ValueError: `warmup_steps` is outside [0, steps), or `every` is below 1.
    """

    def __init__(
        self, peak_learning_rate, steps, warmup_steps=0, warmup_learning_rate=1e-6, every=1
    ):
        super().__init__()
        if not 0 <= warmup_steps < steps:
            raise ValueError(
                "`warmup_steps` must be at least 0 and below `steps`. "
                f"Received: warmup_steps={warmup_steps}, steps={steps}"
            )
        if every < 1:
            raise ValueError(f"`every` must be at least 1. Received: {every}")
        self.peak_learning_rate = peak_learning_rate
        self.steps, self.warmup_steps, self.every = steps, warmup_steps, every
        self.warmup_learning_rate = warmup_learning_rate

    def curve(self, step):
        """The learning rate of a step, a float32 scalar, were there no warm-up."""
        raise NotImplementedError

    def __call__(self, step):
        """The learning rate of `step`, a float32 scalar."""
        peak, first = self.peak_learning_rate, self.warmup_learning_rate
        step = ops.cast(step, "float32")
        if self.every > 1:
            step = ops.floor(step / self.every) * self.every
        share = step / max(self.warmup_steps, 1)
        rising = first + share * (peak - first)
        return ops.where(step < self.warmup_steps, rising, self.curve(step))

    def get_config(self):
        """The arguments of the constructor."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "warmup_learning_rate": self.warmup_learning_rate,
            "every": self.every,
        }


@keras.saving.register_keras_serializable(package="regionvit_training")
class WarmupCosine(Warmup):
    """Rises linearly to the curve of half a cosine, then follows that down.

    The meaning is that of timm's `CosineLRScheduler`, which DeiT and RegionViT used: with `low` and
    `peak` for the minimal and the peak learning rate, step `s` after the warm-up has
    `low + (peak - low) * (1 + cos(pi * s / steps)) / 2`; from `steps` on the rate is `low`.

    Args:
        peak_learning_rate: see `Warmup`, also for the next three.
        steps: length of the training in steps.
        warmup_steps: length of the warm-up.
        warmup_learning_rate: the rate at step 0 of the warm-up.
        min_learning_rate: the rate at the end.
        every: the rate changes only every so many steps; the steps of an epoch make it change
            by epochs, as timm does by default.

    Example:

    >>> keras.optimizers.AdamW(WarmupCosine(1e-3, steps=1000, warmup_steps=100))
    """

    def __init__(
        self,
        peak_learning_rate,
        steps,
        warmup_steps=0,
        warmup_learning_rate=1e-6,
        min_learning_rate=0.0,
        every=1,
    ):
        super().__init__(peak_learning_rate, steps, warmup_steps, warmup_learning_rate, every)
        self.min_learning_rate = min_learning_rate

    def curve(self, step):
        """Half a cosine from the peak to the minimum."""
        peak, low = self.peak_learning_rate, self.min_learning_rate
        progress = ops.minimum(step / self.steps, 1.0)
        return low + (peak - low) * (1 + ops.cos(math.pi * progress)) / 2

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "min_learning_rate": self.min_learning_rate}

    @classmethod
    def from_config(cls, config):
        """The schedule that `get_config` described, also that of a file of version 0.1.0."""
        return cls(**{OLD_ARGUMENTS.get(key, key): value for key, value in config.items()})


@keras.saving.register_keras_serializable(package="regionvit_training")
class WarmupSteps(Warmup):
    """Rises linearly to the peak, then falls at some steps, as detectron2's `WarmupMultiStepLR`.

    Args:
        milestones: steps from which on the rate is `factor` times what it was before.
        factor: see `milestones`.
        **arguments: of `Warmup`.

    Example:

    >>> WarmupSteps((60_000, 80_000), peak_learning_rate=1e-4, steps=90_000, warmup_steps=1000)
    """

    def __init__(self, milestones, factor=0.1, **arguments):
        super().__init__(**arguments)
        self.milestones, self.factor = tuple(milestones), factor

    def curve(self, step):
        """The peak, times the factor for each milestone that is reached."""
        rate = self.peak_learning_rate
        rates = [rate * self.factor**i for i in range(len(self.milestones) + 1)]
        reached = sum(ops.cast(step >= milestone, "int32") for milestone in self.milestones)
        return ops.take(ops.convert_to_tensor(rates, "float32"), reached)

    def get_config(self):
        """The arguments of the constructor."""
        own = {"milestones": list(self.milestones), "factor": self.factor}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="regionvit_training")
class WarmupPoly(Warmup):
    """Rises linearly to a power of the part of the training that is left, then follows that down.

    Step `s` after the warm-up has `low + (peak - low) * (1 - s / steps) ** power`; from `steps` on
    the rate is `low`.

    Args:
        power: the exponent.
        min_learning_rate: the rate at the end, `low`.
        **arguments: of `Warmup`.

    Example:

    >>> WarmupPoly(0.9, peak_learning_rate=1e-4, steps=80_000)
    """

    def __init__(self, power=0.9, min_learning_rate=0.0, **arguments):
        super().__init__(**arguments)
        self.power, self.min_learning_rate = power, min_learning_rate

    def curve(self, step):
        """The power."""
        peak, low = self.peak_learning_rate, self.min_learning_rate
        left = ops.maximum(1.0 - step / self.steps, 0.0)
        return low + (peak - low) * left**self.power

    def get_config(self):
        """The arguments of the constructor."""
        own = {"power": self.power, "min_learning_rate": self.min_learning_rate}
        return {**super().get_config(), **own}
