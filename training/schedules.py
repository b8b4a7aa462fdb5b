"""Learning-rate schedules."""

import math

import keras
from keras import ops

OLD_ARGUMENTS = {
    "peak": "peak_learning_rate",
    "warmup_rate": "warmup_learning_rate",
    "floor": "min_learning_rate",
}


@keras.saving.register_keras_serializable(package="regionvit_training")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to the curve of half a cosine, then follows that down.

    The meaning is that of timm's `CosineLRScheduler`, which DeiT and RegionViT used: with `low`,
    `peak` and `first` for the minimal, the peak and the warm-up's learning rate, step `s` of the
    warm-up has `first + s / warmup_steps * (peak - first)`; after it
    `low + (peak - low) * (1 + cos(pi * s / steps)) / 2`, where the cosine counts from the first
    step, not from the end of the warm-up; from `steps` on the rate is `low`.

    Args:
        peak_learning_rate: highest learning rate.
        steps: length of the training in steps.
        warmup_steps: length of the warm-up, less than `steps`; 0 means none.
        warmup_learning_rate: the rate at step 0 of the warm-up.
        min_learning_rate: the rate at the end.
        every: the rate changes only every so many steps; the steps of an epoch make it change
            by epochs, as timm does by default.

    Raises:
        ValueError: `warmup_steps` is outside [0, steps), or `every` is below 1.

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
        self.min_learning_rate = min_learning_rate

    def __call__(self, step):
        """The learning rate of `step`, a float32 scalar."""
        peak, low, first = (
            self.peak_learning_rate,
            self.min_learning_rate,
            self.warmup_learning_rate,
        )
        step = ops.cast(step, "float32")
        if self.every > 1:
            step = ops.floor(step / self.every) * self.every
        share = step / max(self.warmup_steps, 1)
        rising = first + share * (peak - first)
        progress = ops.minimum(step / self.steps, 1.0)
        falling = low + (peak - low) * (1 + ops.cos(math.pi * progress)) / 2
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self):
        """The arguments of the constructor."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "warmup_learning_rate": self.warmup_learning_rate,
            "min_learning_rate": self.min_learning_rate,
            "every": self.every,
        }

    @classmethod
    def from_config(cls, config):
        """The schedule that `get_config` described, also that of a file of version 0.1.0."""
        return cls(**{OLD_ARGUMENTS.get(key, key): value for key, value in config.items()})
