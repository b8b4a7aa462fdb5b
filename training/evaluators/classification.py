"""What a classifier gets right.

B images, K classes.
"""

import keras
import numpy as np
import tensorflow as tf

from training.evaluators.evaluator import Evaluator


def image_losses(multi_label=False, label_smoothing=0.0):
    """The loss of each image.

    Args:
        multi_label: whether labels are independent of each other; else they sum to one.
        label_smoothing: share of a label that is spread over all classes.

    Returns:
        A function `(labels (B, K), probabilities (B, K)) -> float32 (B,)`.

    Example:

    >>> image_losses(label_smoothing=0.1)(labels, model(images))
    """
    kind = keras.losses.BinaryCrossentropy if multi_label else keras.losses.CategoricalCrossentropy
    return kind(label_smoothing=label_smoothing, reduction="none", dtype="float32")


def right_answers(labels, probabilities, multi_label=False):
    """How much of each image is right: 0 or 1, or the share of the labels. Float32 (B,)."""
    if multi_label:
        right = tf.equal(probabilities > 0.5, labels > 0.5)
        return tf.reduce_mean(tf.cast(right, tf.float32), axis=-1)
    return tf.cast(tf.equal(tf.argmax(labels, -1), tf.argmax(probabilities, -1)), tf.float32)


class ClassificationEvaluator(Evaluator):
    """Loss without label smoothing, `accuracy` and `top5_accuracy` of probabilities.

    With five classes or less every image is right among five, so `top5_accuracy` is left out.

    An image with several labels, as ImageNet ReaL has them, is right if its answer is any of them;
    one with none is left out. With `multi_label` an image may belong to any number of classes:
    `accuracy` is then the share of right labels, and `auc`, the area under the ROC curve averaged
    over the classes that are on in some images and off in others, takes the place of the rest.

    Args:
        multi_label: see above.
        classes: K, `None` for many.

    Example:

    >>> evaluate(evaluation_step(strategy, model, evaluator), evaluator, batches)["accuracy"]
    """

    mode = "max"

    def __init__(self, multi_label=False, classes=None):
        self.multi_label = multi_label
        self.top_five = not multi_label and (classes is None or classes > 5)
        self.monitor = "auc" if multi_label else "accuracy"
        self.losses = image_losses(multi_label)
        self.reset()

    def reset(self):
        """Forgets all batches."""
        self.sums = tf.zeros(4, tf.float64)
        self.scores, self.truth = [], []

    def measure(self, targets, outputs, weights):
        """Sums (4,): losses, right first answers, right ones among five, images; rows of scores."""
        labels, probabilities = targets, tf.cast(outputs, tf.float32)
        if self.multi_label:
            first = five = right_answers(labels, probabilities, multi_label=True)
        else:
            best = tf.math.top_k(probabilities, min(5, probabilities.shape[-1])).indices
            right = tf.gather(labels, best, batch_dims=1) > 0.5
            first, five = tf.cast(right[:, 0], tf.float32), _any(right)
            weights *= _any(labels > 0.5)
            labels = tf.math.divide_no_nan(labels, tf.reduce_sum(labels, -1, keepdims=True))
        each = [self.losses(labels, probabilities), first, five, tf.ones_like(first)]
        sums = tf.stack([tf.reduce_sum(tf.where(weights > 0, x, 0)) for x in each])
        return sums, (probabilities, labels, weights) if self.multi_label else ()

    def update(self, sums, rows):
        """Takes what `measure` gave for a global batch."""
        self.sums += tf.cast(sums, tf.float64)
        if self.multi_label:
            probabilities, labels, weights = (row.numpy() for row in rows)
            self.scores.append(probabilities[weights > 0])
            self.truth.append(labels[weights > 0])

    @property
    def count(self):
        """How many images counted."""
        return int(self.sums[3])

    def result(self):
        """The metrics so far, a dict of floats."""
        loss, first, five, count = self.sums.numpy().tolist()
        if not count:
            raise ValueError("there is not a single image to evaluate on.")
        metrics = {"loss": loss / count, "accuracy": first / count}
        if self.multi_label:
            area = auc(np.concatenate(self.truth), np.concatenate(self.scores))
            return {**metrics, "auc": area}
        return {**metrics, "top5_accuracy": five / count} if self.top_five else metrics


def auc(labels, scores):
    """The area under the ROC curve, averaged over the classes that are on here and off there.

    Args:
        labels: (N, K), above 0.5 where the image has the class.
        scores: (N, K).

    Returns:
        A float; 0.5 where no class is on in some images and off in others.

    Example:

    >>> auc(np.array([[0], [1], [1]]), np.array([[0.2], [0.1], [0.3]]))
    0.5
    """
    from sklearn.metrics import roc_auc_score  # here: it takes a second

    on = np.asarray(labels) > 0.5
    mixed = on.any(axis=0) & ~on.all(axis=0)
    return float(roc_auc_score(on[:, mixed], np.asarray(scores)[:, mixed])) if mixed.any() else 0.5


def _any(truth):
    """Whether any of a row is true, as float32: (B, n) to (B,)."""
    return tf.cast(tf.reduce_any(truth, axis=-1), tf.float32)
