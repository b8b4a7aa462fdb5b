"""The losses of detectors, as sums."""

from keras import ops


def focal_loss(targets, logits, alpha=0.25, gamma=2.0):
    """The focal loss of independent classes.

    Args:
        targets: float tensor (...), 0 or 1.
        logits: float tensor (...).
        alpha: float, weight of the classes that are on; the others have 1 - alpha.
        gamma: float, how much what is right already counts less.

    Returns:
        A tensor (...), losses that are not added up.

    Example:

    >>> ops.sum(focal_loss(targets, logits))
    """
    # with s = 1 for what is on and -1 for what is off, the probability of the truth is
    # sigmoid(s * logit); softplus keeps its logarithm exact
    against = ops.where(targets > 0.5, -logits, logits)
    weight = ops.where(targets > 0.5, alpha, 1 - alpha)
    return weight * ops.sigmoid(against) ** gamma * ops.softplus(against)


def l1_loss(targets, values, beta=0.0):
    """Absolute differences; squared, over twice `beta`, where they are below it.

    Args:
        targets: float tensor (...).
        values: float tensor (...).
        beta: float; 0 means absolute everywhere.

    Returns:
        A tensor (...).
    """
    difference = ops.abs(values - targets)
    if beta == 0:
        return difference
    return ops.where(difference < beta, difference**2 / (2 * beta), difference - beta / 2)


def binary_loss(targets, logits):
    """The cross entropy of yes and no.

    Args:
        targets: float tensor (...), 0 or 1.
        logits: float tensor (...).

    Returns:
        A tensor (...), losses that are not added up.
    """
    return ops.softplus(logits) - targets * logits


def class_loss(targets, logits):
    """The cross entropy of classes that exclude each other.

    Args:
        targets: int tensor (...), on 0..K-1.
        logits: float tensor (..., K).

    Returns:
        A tensor (...), losses that are not added up.
    """
    said = ops.take_along_axis(logits, targets[..., None], -1)[..., 0]
    return ops.logsumexp(logits, axis=-1) - said
