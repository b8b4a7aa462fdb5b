import keras
import numpy as np
import pytest

from keras_regionvit.layers import RegionAttention


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
