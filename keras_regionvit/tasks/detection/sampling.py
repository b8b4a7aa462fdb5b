"""Which of many candidates a step learns from: a random few, drawn by a seed of each image.

The draws are a hash of seed and place, so that they are the same on every device, on all backends
and after a run was taken up again. B images, M candidates, S of them chosen.
"""

import math

from keras import ops


def uniform(seeds, count):
    """Numbers that look random.

    Args:
        seeds: int32 tensor (B,).
        count: int or integer scalar tensor M.

    Returns:
        A float32 tensor (B, M), on 0..1 without 1, in steps of 2^-24.

    Example:

    >>> uniform(keras.ops.array([1, 2]), 5).shape
    TensorShape([2, 5])
    """
    places = ops.cast(ops.arange(count, dtype="int32"), "uint32")
    x = places[None] ^ _mixed(ops.cast(seeds, "uint32"))[:, None]
    return ops.cast(ops.right_shift(_mixed(x), _word(8)), "float32") * 2.0**-24


def _mixed(x):
    """A hash of 32 bits that lets each bit of a number change all others."""
    for shift, factor in ((16, 0x21F0AAAD), (15, 0xD35A2D97)):
        x = _folded(x, shift) * _word(factor)
    return _folded(x, 15)


def _folded(x, shift):
    return x ^ ops.right_shift(x, _word(shift))


def _word(value):
    return ops.convert_to_tensor(value, "uint32")


def sample(positive, negative, seeds, count, share):
    """Draws candidates, so many with an object at most, the others without.

    Args:
        positive: bool tensor (B, M), the candidates with an object.
        negative: bool tensor (B, M), those without; what is neither is not drawn.
        seeds: int32 tensor (B,).
        count: int S.
        share: float on 0..1, of S, for those with an object.

    Returns:
        `(indices int32 (B, S), bool (B, S))`: where the second is False there were no candidates
        left, and the index means nothing. Those with an object come first.

    Example:

    >>> chosen, counts = sample(iou >= 0.5, iou < 0.5, seeds, 512, 0.25)
    """
    size = ops.shape(positive)[1]
    # padding, so that there are always S
    order = ops.pad(uniform(seeds, size), [(0, 0), (0, count)])
    positive, negative = (ops.pad(x, [(0, 0), (0, count)]) for x in (positive, negative))
    most = math.floor(share * count)
    first, index = ops.top_k(ops.where(positive, order, -1.0), most)
    others, rest = ops.top_k(ops.where(negative, order, -1.0), count)
    taken = ops.sum(ops.cast(first >= 0, "int32"), axis=1, keepdims=True)  # (B, 1)
    places = ops.arange(count, dtype="int32")[None]
    with_object, after = places < taken, ops.maximum(places - taken, 0)
    index = ops.pad(ops.cast(index, "int32"), [(0, 0), (0, count - most)])
    chosen = ops.where(with_object, index, ops.take_along_axis(ops.cast(rest, "int32"), after, 1))
    counts = with_object | (ops.take_along_axis(others, after, 1) >= 0)
    return ops.minimum(chosen, ops.maximum(size - 1, 0)), counts
