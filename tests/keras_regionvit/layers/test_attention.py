import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.layers import RegionAttention, attend


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


@pytest.fixture(scope="module")
def attention():
    """Attention of 2 heads, window 2, with a bias table that is far from zero."""
    keras.utils.set_random_seed(0)
    layer = RegionAttention(8, num_heads=2, window_size=2)
    layer.build((None, None, None, 8))
    layer.position_bias_table.assign(keras.random.normal((2, 9), seed=1))
    layer.qkv.kernel.assign(keras.random.normal((8, 24), seed=2))
    return layer


def tokens(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype("float32")


def test_only_local_attention_has_the_position_bias(attention):
    x = tokens(2, 3, 5, 8)
    regional, local = attention(x), attention(x, local=True)
    assert np.abs(regional - local).max() > 1e-3
    table = attention.position_bias_table.numpy()
    attention.position_bias_table.assign(np.zeros_like(table))
    np.testing.assert_array_equal(attention(x), regional)
    np.testing.assert_array_equal(attention(x, local=True), regional)
    attention.position_bias_table.assign(table)


def test_groups_do_not_see_each_other(attention):
    x = tokens(2, 3, 5, 8)
    changed = x.copy()
    changed[:, 1] += 1
    before, after = np.asarray(attention(x, local=True)), np.asarray(attention(changed, local=True))
    np.testing.assert_allclose(after[:, [0, 2]], before[:, [0, 2]], atol=1e-7)
    assert np.abs(after[:, 1] - before[:, 1]).max() > 1e-4


def test_regional_attention_does_not_know_the_order_of_regions(attention):
    x, order = tokens(2, 1, 7, 8), np.random.default_rng(0).permutation(7)
    expected = np.asarray(attention(x))[:, :, order]
    np.testing.assert_allclose(attention(x[:, :, order]), expected, atol=1e-6)


def test_each_dropout_acts_in_training_only():
    x = tokens(4, 3, 5, 8)
    for rates in [{"dropout_rate": 0.5}, {"attention_dropout_rate": 0.5}]:
        layer = RegionAttention(8, 2, 2, **rates)
        still = np.asarray(layer(x))
        np.testing.assert_array_equal(layer(x), still)
        first, second = np.asarray(layer(x, training=True)), np.asarray(layer(x, training=True))
        assert np.abs(first - still).max() > 0 and np.abs(first - second).max() > 0
        zeros = np.mean(first == 0)  # dropped outputs are zero, dropped weights are not seen
        assert 0.4 < zeros < 0.6 if "dropout_rate" in rates else zeros == 0


def test_qkv_bias():
    assert RegionAttention(8, 2, 2, qkv_bias=False).qkv.use_bias is False
    with_bias, without = (RegionAttention(8, 2, 2, qkv_bias=flag) for flag in (True, False))
    for layer in (with_bias, without):
        layer.build((None, None, None, 8))
    assert with_bias.count_params() - without.count_params() == 3 * 8


def test_embed_dim_must_divide_into_heads():
    with pytest.raises(ValueError, match=r"`embed_dim` must be a multiple of `num_heads`.*8.*3"):
        RegionAttention(8, num_heads=3, window_size=2)
