"""What a classifier gets right: figures over a whole data set."""

import numpy as np
import tensorflow as tf


def evaluate(step, batches, *, multi_label=False, each_batch=None):
    """Goes through `batches` once.

    Args:
        step: see `training.engine.steps.evaluation_step`.
        batches: pairs `(images, labels float32 (B, classes))`, the last may be smaller; or, with
            several replicas, the triples of `training.distribute.replicas.spread_whole`.
        multi_label: whether an image may belong to several classes.
        each_batch: optional function that is called before each batch.

    Returns:
        A dict of floats: `loss` (without label smoothing), `accuracy` and `top5_accuracy`; for
        multi-label data `loss`, `accuracy` (share of right labels) and `auc` (mean over the
        classes that are on in some images and off in others); and `images`, how many counted.

    Raises:
        ValueError: there is no batch.

    Example:

    >>> evaluate(evaluation_step(strategy, model, image_losses()), batches)["accuracy"]
    """
    sums = tf.zeros(4, tf.float64)
    scores, truth = [], []
    for batch in batches:
        if each_batch is not None:
            each_batch()
        more, rows = step(*batch)
        sums += tf.cast(more, tf.float64)
        if multi_label:
            probabilities, labels, weights = (row.numpy() for row in rows)
            scores.append(probabilities[weights > 0])
            truth.append(labels[weights > 0])
    loss, first, five, count = sums.numpy().tolist()
    if not count:
        raise ValueError("there is not a single image to evaluate on.")
    figures = {"images": int(count), "loss": loss / count, "accuracy": first / count}
    if multi_label:
        areas = auc(np.concatenate(truth), np.concatenate(scores))
        area = float(np.nanmean(areas)) if np.isfinite(areas).any() else 0.5
        return {**figures, "auc": area}
    return {**figures, "top5_accuracy": five / count}


def auc(labels, scores):
    """The area under the ROC curve of each class: how often an image with it scores higher.

    Args:
        labels: (N, classes), above 0.5 where the image has the class.
        scores: (N, classes).

    Returns:
        float64 (classes,): the share of pairs of an image with and one without the class that
        are in the right order, ties counting half; NaN where there is no pair.

    Example:

    >>> auc(np.array([[0], [1], [1]]), np.array([[0.2], [0.1], [0.3]]))
    array([0.5])
    """
    areas = []
    for on, score in zip((np.asarray(labels) > 0.5).T, np.asarray(scores).T, strict=True):
        _, place, ties = np.unique(score, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]  # mean rank of equal scores
        with_it, without = on.sum(), (~on).sum()
        pairs = float(with_it * without)
        won = ranks[on].sum() - with_it * (with_it + 1) / 2
        areas.append(won / pairs if pairs else np.nan)
    return np.array(areas)
