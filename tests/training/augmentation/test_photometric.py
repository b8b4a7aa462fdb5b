"""Photometric distortion against a slow oracle, pixel by pixel."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from training.augmentation.photometric import photometric
from training.augmentation.seeds import uniform


def oracle(image, draws):
    """Python's own HSV, a pixel at a time."""
    happens, sizes, late = draws[:4] < 0.5, draws[4:8], draws[8] < 0.5
    image = image.astype("float64")
    if happens[0]:
        image = np.clip(image - 32 + 64 * sizes[0], 0, 255)
    if happens[1] and not late:
        image = np.clip(image * (0.5 + sizes[1]), 0, 255)
    if image.shape[-1] == 3:
        for i, j in np.ndindex(image.shape[:2]):
            hue, saturation, value = colorsys.rgb_to_hsv(*image[i, j] / 255)
            if happens[2]:
                saturation = min(saturation * (0.5 + sizes[2]), 1)
            if happens[3]:
                hue = (hue + (-36 + 72 * sizes[3]) / 360) % 1
            image[i, j] = np.multiply(colorsys.hsv_to_rgb(hue, saturation, value), 255)
    if happens[1] and late:
        image = np.clip(image * (0.5 + sizes[1]), 0, 255)
    return image


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_oracle(channels):
    image = np.random.default_rng(0).integers(0, 256, (7, 11, channels)).astype("uint8")
    seen = set()
    for number in range(24):
        seed = tf.constant([3, number])
        draws = uniform(seed, (9,)).numpy()
        seen.add(tuple(draws[:4] < 0.5))
        found = photometric(tf.constant(image), seed)
        np.testing.assert_allclose(found, oracle(image, draws), atol=0.01)
    assert len(seen) > 8
