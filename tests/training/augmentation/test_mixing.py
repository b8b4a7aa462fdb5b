"""MixUp and CutMix by their own promises."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.augmented import each, seeds
from training import augmentation
from training.augmentation.pixels import paste


@pytest.mark.parametrize("batch", [7, 1])
@pytest.mark.parametrize("settings", [{}, {"mixup": 0}, {"cutmix": 0}])
def test_label_mass_is_pixel_mass(batch, settings):
    """Each image has one value and one class of its own: the mean value is the label's."""
    mix = tf.function(augmentation.batch_augmentation(**settings))
    values = np.arange(batch, dtype="float32") * 20 + 3
    images = np.broadcast_to(values[:, None, None, None], (batch, 13, 17, 3))
    mixed = 0
    for seed in seeds(20):
        results, labels = mix(tf.constant(images), tf.eye(batch), seed)
        np.testing.assert_allclose(labels.numpy().sum(1), 1, rtol=1e-6)
        means = results.numpy().mean((1, 2, 3))
        np.testing.assert_allclose(labels.numpy() @ values, means, rtol=1e-5)
        mixed += not np.array_equal(labels, np.eye(batch))
        partner = labels.numpy() * (1 - np.eye(batch))  # only the reversed batch
        assert not (partner * (1 - np.eye(batch)[::-1])).any()
    assert mixed == 0 if batch == 1 else mixed > 5


def test_share_and_switch_of_mixing():
    mix = augmentation.batch_augmentation(mixup=0.8, cutmix=1.0, switch_probability=0.3)
    images = tf.constant(np.random.default_rng(0).uniform(size=(2, 40, 40, 1)), tf.float32)

    def one(seed):
        results, labels = mix(images, tf.eye(2), seed)
        own = tf.reduce_mean(tf.cast(results == images, tf.float32), [1, 2, 3])[0]
        other = tf.reduce_mean(tf.cast(results == images[::-1], tf.float32), [1, 2, 3])[0]
        return own + other > 0.999, labels[0, 0]

    cut, share = each(one, 4000, (tf.bool, tf.float32))
    assert abs(cut.mean() - 0.3) < 0.03
    expected = np.random.default_rng(1).beta(0.8, 0.8, 100_000)
    quantiles = [0.1, 0.25, 0.5, 0.75, 0.9]
    np.testing.assert_allclose(
        np.quantile(share[~cut], quantiles), np.quantile(expected, quantiles), atol=0.04
    )
    # the edge cuts boxes off: the mean share kept is 1 - E[h w], 0.5 without an edge
    assert 0.55 < share[cut].mean() < 0.75


def test_paste():
    image = np.zeros((2, 5, 7, 3), "float32")
    expected = image.copy()
    expected[:, 1:4, 2:7] = 1
    for index in (slice(None), 0):
        patch = tf.ones((2, 3, 5, 3))[index]
        np.testing.assert_array_equal(
            paste(tf.constant(image[index]), patch, 1, 2), expected[index]
        )


def test_nothing_to_mix():
    images, labels = tf.zeros((2, 3, 3, 1)), tf.eye(2)
    mix = augmentation.batch_augmentation(mixup=0, cutmix=0)
    assert mix(images, labels, [0, 1])[0] is images
