"""Shapes that may hold unknown sizes, and functions of matrices applied to more axes."""

import numpy as np
from keras import ops


def is_static(*sizes):
    """Whether all `sizes` are plain integers.

    Args:
        *sizes: ints, `None` or integer scalar tensors.

    Returns:
        A bool.
    """
    return all(isinstance(size, (int, np.integer)) for size in sizes)


def inferred(shape):
    """`shape` with -1 for the batch where all else is known: a reshape then needs no arithmetic.

    Args:
        shape: tuple of ints and integer scalar tensors, the batch first.

    Returns:
        A tuple of the same length, for `ops.reshape`.
    """
    return (-1, *shape[1:]) if is_static(*shape[1:]) else shape


def on_rows(function, inputs):
    """`function` on the last axis of `inputs`, which it gets as the rows of one matrix.

    A `keras.layers.Dense` on more than two axes reshapes between its product and its bias; on a
    matrix TensorFlow fuses product, bias and activation.

    Args:
        function: maps (rows, C) to (rows, D); a layer or a function.
        inputs: tensor (..., C).

    Returns:
        A tensor (..., D).
    """
    shape = inferred(ops.shape(inputs))
    outputs = function(ops.reshape(inputs, (-1, shape[-1])))  # (..., C) -> (rows, C)
    return ops.reshape(outputs, (*shape[:-1], outputs.shape[-1]))
