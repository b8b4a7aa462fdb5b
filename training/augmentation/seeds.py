"""Draws that follow from a seed alone: the same on any machine, in any thread, in any order.

A seed is an int32 tensor (2,). Draws from one seed are alike, so each purpose takes a seed of its
own with `fold`.
"""

import tensorflow as tf

# Named, for "auto" may pick another generator where the graph runs on another device.
ALGORITHM = "philox"


def fold(seed, number):
    """A new seed, drawn from `seed` and an int.

    >>> fold(tf.constant([0, 7]), 3).shape
    TensorShape([2])
    """
    return tf.random.experimental.stateless_fold_in(seed, number, alg=ALGORITHM)


def split(seed, count):
    """As many new seeds, a list of int32 (2,): a single draw, where `fold` takes one for each."""
    return tf.unstack(tf.random.split(seed, count, alg=ALGORITHM))


def uniform(seed, shape=()):
    """float32 `shape`, even on [0, 1)."""
    return tf.random.stateless_uniform(shape, seed, alg=ALGORITHM)


def beta(seed, alpha):
    """float32 (), drawn from Beta(alpha, alpha).

    Args:
        seed: int32 (2,).
        alpha: a float above 0.
    """
    # stateless_gamma has no `alg`; the pair of its draws makes the ratio
    pair = tf.random.stateless_gamma((2,), seed, alpha=alpha)
    return tf.math.divide_no_nan(pair[0], pair[0] + pair[1])
