"""Relative position bias between the local tokens of a region (paper, equation 3).

N heads, M window size, T = 1 + M * M tokens a region.
"""

import numpy as np
from keras import ops


def position_index(window_size):
    """For each pair of tokens the entry of the bias table that is added to it.

    Entry `(dy, dx) = key - query + M - 1` of the (2M-1, 2M-1) table, flattened. Pairs
    with the regional token point one past the table, where a zero stands.

    Args:
        window_size: int, M.

    Returns:
        int32 NumPy array (T, T), first axis queries, second keys.
    """
    side = 2 * window_size - 1
    y, x = np.divmod(np.arange(window_size * window_size), window_size)
    rows = y[None, :] - y[:, None] + window_size - 1
    columns = x[None, :] - x[:, None] + window_size - 1
    index = np.full((1 + y.size, 1 + y.size), side * side, "int32")
    index[1:, 1:] = rows * side + columns
    return index


def position_bias(table, index):
    """The bias of every pair of tokens.

    Args:
        table: float tensor or variable (N, (2M-1)^2).
        index: int32 array (T, T), as `position_index` gives it.

    Returns:
        A tensor (N, T, T) of the dtype of `table`; zero wherever the regional token takes part.
    """
    with_zero = ops.pad(ops.transpose(table), [(0, 1), (0, 0)])  # ((2M-1)^2 + 1, N)
    # Rows of N are picked faster than single values, which with windows of 14 took 59 of the 733
    # ms of inference of SmallPlus. (T, T, N) -> (N, T, T)
    return ops.transpose(ops.take(with_zero, index, axis=0), (2, 0, 1))
