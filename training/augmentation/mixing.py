"""MixUp and CutMix of a batch with itself in reverse order, and their labels."""

import keras
import keras_cv
import tensorflow as tf

from training.augmentation.layer import IMAGES, SEEDS, SeededLayer
from training.augmentation.pixels import paste
from training.augmentation.seeds import beta, fold, uniform

LABELS = "labels"


class BatchMixing(SeededLayer):
    """What the two have in common: one seed a batch, one share `kept` of the own image.

    Call arguments:
        inputs: a dict of
            - `"images"`: (B, H, W, C);
            - `"labels"`: float (B, classes), one-hot or several ones;
            - `"seeds"`: optional, int32 (2,) for the batch.
    """

    batchwise = True

    def _batch_augment(self, inputs):
        self._validate_inputs(inputs)
        images, kept = self.mix(inputs[IMAGES], inputs[SEEDS])
        labels = inputs[LABELS]
        kept = tf.cast(kept, labels.dtype)
        labels = kept * labels + (1 - kept) * tf.reverse(labels, [0])
        return {**inputs, IMAGES: images, LABELS: labels}

    def _augment(self, inputs):
        raise ValueError(
            f"`images` of {self.__class__.__name__} must be a batch (B, H, W, C), for it mixes "
            f"images with each other. Received: {inputs[IMAGES].shape}"
        )


@keras.saving.register_keras_serializable(package="regionvit_training")
class MixUp(BatchMixing, keras_cv.layers.MixUp):
    """keras-cv's MixUp with one share for the whole batch, drawn from Beta(alpha, alpha).

    Args:
        alpha: a float above 0.
        **kwargs: as `SeededLayer`.

    Example:

    >>> MixUp(0.8)({"images": images, "labels": one_hot, "seeds": seed})
    """

    def __init__(self, alpha=0.8, **kwargs):
        super().__init__(alpha=alpha, **kwargs)

    def mix(self, images, seed):
        """Mixed images and the share of each pixel that is the own image's."""
        kept = beta(seed, self.alpha)
        return kept * images + (1 - kept) * tf.reverse(images, [0]), kept


@keras.saving.register_keras_serializable(package="regionvit_training")
class CutMix(BatchMixing, keras_cv.layers.CutMix):
    """keras-cv's CutMix with one box for the whole batch; labels follow the box's true area.

    The box has the image's proportions and a share of its area drawn from Beta(alpha, alpha); its
    centre lies anywhere, and what reaches over the edge is cut off.

    Args:
        alpha: a float above 0.
        **kwargs: as `SeededLayer`.

    Example:

    >>> CutMix(1.0)({"images": images, "labels": one_hot, "seeds": seed})
    """

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(alpha=alpha, **kwargs)

    def mix(self, images, seed):
        """Mixed images and the share of the pixels that are the own image's."""
        sides = tf.shape(images)[1:3]
        real = tf.cast(sides, tf.float32)
        cut = tf.cast(real * tf.sqrt(1 - beta(seed, self.alpha)), tf.int32)
        center = tf.cast(real * uniform(fold(seed, 0), (2,)), tf.int32)
        low = tf.maximum(center - cut // 2, 0)
        high = tf.minimum(center + (cut + 1) // 2, sides)
        patch = tf.reverse(images[:, low[0] : high[0], low[1] : high[1]], [0])
        area = tf.cast(tf.reduce_prod(high - low), tf.float32)
        return paste(images, patch, low[0], low[1]), 1 - area / tf.reduce_prod(real)
