"""Tokens apart in two tensors are the tokens together in one."""

import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.ops.streams import add, among, each, join, split


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    shapes = (2, 3, 1, 5), (2, 3, 4, 5)
    return tuple(tf.constant(rng.standard_normal(shape), "float32") for shape in shapes)


def together(tokens):
    return tokens if not isinstance(tokens, tuple) else np.concatenate(tokens, axis=2)


def test_join_and_split(pair):
    one = join(*pair)
    np.testing.assert_array_equal(one, np.concatenate(pair, axis=2))
    assert join(*pair, apart=True) == pair
    for tokens in (one, pair):
        for found, expected in zip(split(tokens), pair, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "call",
    [
        lambda tokens: each(lambda x: 2 * x, tokens),
        lambda tokens: among(lambda x: x - tf.reduce_sum(x, axis=2, keepdims=True), tokens),
        lambda tokens: add(tokens, each(tf.square, tokens)),
        lambda tokens: add(
            tokens, each(tf.square, tokens), tf.reshape(tf.range(6.0), (2, 3, 1, 1))
        ),
    ],
    ids=["each", "among", "add", "add some"],
)
def test_apart_is_together(call, pair):
    found = call(pair)
    assert isinstance(found, tuple) and [x.shape for x in found] == [x.shape for x in pair]
    np.testing.assert_array_equal(together(found), call(join(*pair)))


def test_add(pair):
    x, y = pair[1], tf.square(pair[1])
    np.testing.assert_array_equal(add(x, y), x + y)
    np.testing.assert_array_equal(add(x, y, 3.0), x + 3 * y)
