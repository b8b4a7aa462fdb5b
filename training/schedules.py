"""Learning-rate schedules."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="regionvit_training")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to the curve of half a cosine, then follows that down to a floor.

    The meaning is that of timm's `CosineLRScheduler`, which DeiT and RegionViT used: step `s`
    of the warm-up has `warmup_rate + s / warmup_steps * (peak - warmup_rate)`; after it
    `floor + (peak - floor) * (1 + cos(pi * s / steps)) / 2`, where the cosine counts from the
    first step, not from the end of the warm-up; from `steps` on the rate is `floor`.

    Args:
        peak: highest learning rate.
        steps: length of the training in steps.
        warmup_steps: length of the warm-up, less than `steps`; 0 means none.
        warmup_rate: the rate at step 0 of the warm-up.
        floor: the rate at the end.
        every: the rate changes only every so many steps; the steps of an epoch make it change
            by epochs, as timm does by default.

    Raises:
        ValueError: `warmup_steps` is outside [0, steps), or `every` is below 1.

    Example:

    >>> keras.optimizers.AdamW(WarmupCosine(1e-3, steps=1000, warmup_steps=100))
    """

    def __init__(self, peak, steps, warmup_steps=0, warmup_rate=1e-6, floor=0.0, every=1):
        super().__init__()
        if not 0 <= warmup_steps < steps:
            raise ValueError(
                "`warmup_steps` must be at least 0 and below `steps`. "
                f"Received: warmup_steps={warmup_steps}, steps={steps}"
            )
        if every < 1:
            raise ValueError(f"`every` must be at least 1. Received: {every}")
        self.peak, self.steps, self.warmup_steps = peak, steps, warmup_steps
        self.warmup_rate, self.floor, self.every = warmup_rate, floor, every

    def __call__(self, step):
        """The learning rate of `step`, a float32 scalar."""
        step = ops.cast(step, "float32")
        if self.every > 1:
            step = ops.floor(step / self.every) * self.every
        share = step / max(self.warmup_steps, 1)
        rising = self.warmup_rate + share * (self.peak - self.warmup_rate)
        progress = ops.minimum(step / self.steps, 1.0)
        falling = self.floor + (self.peak - self.floor) * (1 + ops.cos(math.pi * progress)) / 2
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self):
        """The arguments of the constructor."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "warmup_rate": self.warmup_rate,
            "floor": self.floor,
            "every": self.every,
        }
