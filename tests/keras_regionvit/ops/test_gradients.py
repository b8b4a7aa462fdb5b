import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.ops.gradients import after, with_gradient


@pytest.mark.parametrize("traced", [False, True])
def test_the_gradient_is_the_one_given(traced):
    product = with_gradient(lambda x, y: x * y, lambda x, y, upstream: (10 * upstream, x + y))

    def run(x, y):
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            z = product(x, y)
        return [z, *tape.gradient(z, [x, y], tf.constant([7.0]))]

    found = (tf.function(run) if traced else run)(tf.constant([2.0]), tf.constant([3.0]))
    np.testing.assert_array_equal(found, [[6.0], [70.0], [5.0]])


def test_after_is_the_value_in_every_row():
    upstream = tf.constant([[0.0, 1.0], [-np.inf, 2.0], [np.nan, 3.0]])
    np.testing.assert_array_equal(after(upstream, 0.25), [[0.25], [0.25], [np.nan]])
    assert after(tf.cast(upstream, "bfloat16"), 0.25).dtype == "bfloat16"


def test_after_stays_in_the_graph():
    """A graph that TensorFlow has simplified still computes the value from `upstream`."""
    call = tf.function(lambda x: after(x, 0.25) * 4)
    np.testing.assert_array_equal(call(tf.constant([[np.nan, 1.0]])), [[np.nan]])
