import numpy as np
import tensorflow as tf

from keras_regionvit.ops.shapes import inferred, is_static, on_rows


def test_is_static():
    assert is_static(3, np.int64(5))
    assert not is_static(3, None)
    assert not is_static(tf.constant(3))


def test_the_batch_is_inferred_where_all_else_is_known():
    unknown = tf.constant(2)
    assert inferred((unknown, 3, 5)) == (-1, 3, 5)
    assert inferred((2, 3, 5)) == (-1, 3, 5)
    shape = (2, unknown, 5)
    assert inferred(shape) is shape


def test_on_rows():
    seen = []

    def function(rows):
        seen.append(tuple(rows.shape))
        return rows[:, :2] + 1

    x = np.arange(2 * 3 * 5 * 7, dtype="float32").reshape(2, 3, 5, 7)
    np.testing.assert_array_equal(on_rows(function, x), x[..., :2] + 1)
    assert seen == [(2 * 3 * 5, 7)]
