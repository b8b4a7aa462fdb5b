import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.ops.position_bias import position_bias, position_index


def test_index_of_a_window_of_two():
    # Tokens a b / c d. The 3x3 table in reading order holds, for key minus query,
    # 0 (-1,-1)  1 (-1,0)  2 (-1,1)  3 (0,-1)  4 (0,0)  5 (0,1)  6 (1,-1)  7 (1,0)  8 (1,1)
    # and 9 is the zero of pairs with the regional token.
    expected = [
        [9, 9, 9, 9, 9],
        [9, 4, 5, 7, 8],  # from a: to itself, to the right, down, down and right
        [9, 3, 4, 6, 7],
        [9, 1, 2, 4, 5],
        [9, 0, 1, 3, 4],
    ]
    np.testing.assert_array_equal(position_index(2), expected)


@pytest.mark.parametrize("window", [1, 3, 4])
def test_bias_of_every_pair(window):
    side = 2 * window - 1
    table = np.random.default_rng(0).standard_normal((2, side, side)).astype("float32")
    bias = np.asarray(position_bias(table.reshape(2, -1), position_index(window)))
    expected = np.zeros((2, 1 + window**2, 1 + window**2), "float32")
    tokens = [*itertools.product(range(window), repeat=2)]
    for (q, (qy, qx)), (k, (ky, kx)) in itertools.product(enumerate(tokens, 1), repeat=2):
        expected[:, q, k] = table[:, ky - qy + window - 1, kx - qx + window - 1]
    np.testing.assert_array_equal(bias, expected)
    assert not bias[:, 0].any() and not bias[:, :, 0].any()


def test_every_entry_of_the_table_gets_its_gradient():
    # displacement (dy, dx) occurs (M - |dy|) (M - |dx|) times in a window
    table = tf.zeros((2, 25))
    with tf.GradientTape() as tape:
        tape.watch(table)
        total = tf.reduce_sum(position_bias(table, position_index(3)))
    gradient = tf.convert_to_tensor(tape.gradient(total, table))
    times = np.array([1, 2, 3, 2, 1])
    np.testing.assert_array_equal(gradient, [np.outer(times, times).ravel()] * 2)
