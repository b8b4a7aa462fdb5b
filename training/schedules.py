"""Learning-rate schedules."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="regionvit_training")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to a peak, then falls to zero along half a cosine.

    Step `s` of the warm-up has `peak * (s + 1) / warmup_steps`; after it
    `peak * (1 + cos(pi * (s - warmup_steps) / (steps - warmup_steps))) / 2`, and 0 from
    `steps` on.

    Args:
        peak: highest learning rate.
        steps: length of the training in steps.
        warmup_steps: length of the warm-up, less than `steps`; 0 means none.

    Raises:
        ValueError: `warmup_steps` is outside [0, steps).

    Example:

    >>> keras.optimizers.AdamW(WarmupCosine(1e-3, steps=1000, warmup_steps=100))
    """

    def __init__(self, peak, steps, warmup_steps=0):
        super().__init__()
        if not 0 <= warmup_steps < steps:
            raise ValueError(
                "`warmup_steps` must be at least 0 and below `steps`. "
                f"Received: warmup_steps={warmup_steps}, steps={steps}"
            )
        self.peak, self.steps, self.warmup_steps = peak, steps, warmup_steps

    def __call__(self, step):
        """The learning rate of `step`, a float32 scalar."""
        step = ops.cast(step, "float32")
        rising = (step + 1) / max(self.warmup_steps, 1)
        progress = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        falling = (1 + ops.cos(math.pi * ops.minimum(progress, 1.0))) / 2
        return self.peak * ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self):
        """The arguments of the constructor."""
        return {"peak": self.peak, "steps": self.steps, "warmup_steps": self.warmup_steps}
