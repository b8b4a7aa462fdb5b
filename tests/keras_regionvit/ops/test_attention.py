import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.ops.attention import attend


def attention_by_loops(qkv, heads, bias=None, mask=None):
    """Equation (3), one query after the other."""
    batch, groups, tokens, channels = (*qkv.shape[:3], qkv.shape[3] // 3)
    width = channels // heads
    output = np.zeros((batch, groups, tokens, channels))
    for b, g, head, q in itertools.product(*map(range, (batch, groups, heads, tokens))):
        query, key, value = (
            qkv[b, g, :, part * channels + head * width :][:, :width] for part in range(3)
        )
        logits = key @ query[q] / math.sqrt(width)
        if bias is not None:
            logits = logits + bias[head, q]
        if mask is not None:
            logits = np.where(mask[g, q], logits, -np.inf)
        share = np.exp(logits - logits.max())
        output[b, g, q, head * width : (head + 1) * width] = share / share.sum() @ value
    return output


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attend(biased, masked):
    rng = np.random.default_rng(0)
    qkv = rng.standard_normal((2, 3, 5, 3 * 2 * 7)).astype("float32")  # two heads of 7 channels
    bias = rng.standard_normal((2, 5, 5)).astype("float32") if biased else None
    mask = (rng.random((3, 5, 5)) < 0.5) | np.eye(5, dtype=bool) if masked else None
    expected = attention_by_loops(qkv.astype("float64"), 2, bias, mask)
    np.testing.assert_allclose(attend(qkv, 2, bias, mask), expected, rtol=1e-5, atol=1e-6)


def test_float64_is_not_narrowed():
    qkv = np.random.default_rng(0).standard_normal((1, 2, 3, 12))
    output = attend(tf.constant(qkv), 2)
    assert output.dtype == "float64"
    np.testing.assert_allclose(output, attention_by_loops(qkv, 2), rtol=1e-13)


def test_a_row_without_keys_stays_finite_and_leaves_the_others_alone():
    qkv = np.random.default_rng(0).standard_normal((1, 1, 4, 12)).astype("float32")
    mask = np.ones((1, 4, 4), bool)
    mask[0, 2] = False
    output = np.asarray(attend(qkv, 2, mask=mask))
    assert np.isfinite(output).all()
    others = [0, 1, 3]
    expected = np.asarray(attend(qkv, 2))
    np.testing.assert_allclose(output[:, :, others], expected[:, :, others], rtol=1e-6)


def test_a_single_token_gets_its_own_value():
    qkv = np.random.default_rng(0).standard_normal((2, 3, 1, 12)).astype("float32")
    np.testing.assert_array_equal(attend(qkv, 2), qkv[..., 8:])


def test_softmax_is_float32_under_bfloat16():
    # Logits 256 and 256 + 1 of bias; 257 has no bfloat16, so a narrow softmax would say one half.
    qkv = np.zeros((1, 1, 2, 3), "float32")
    qkv[..., 0] = qkv[..., 1] = 16
    qkv[0, 0, 1, 2] = 1  # the values are 0 and 1
    bias = tf.constant([[[0.0, 1.0], [0.0, 1.0]]], "bfloat16")
    output = attend(tf.cast(qkv, "bfloat16"), 1, bias)
    assert output.dtype == "bfloat16"
    np.testing.assert_allclose(tf.cast(output, "float32"), 1 / (1 + math.exp(-1)), rtol=4e-3)
