"""Generated images: the same for the same index, and such as can be learnt."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.sources import contents
from training.data.sources import open_source
from training.data.sources.generated import generated_source


@pytest.mark.parametrize("multi_label", [False, True])
def test_generated_images(multi_label):
    options = {"size": 16, "multi_label": multi_label}
    source = generated_source(10, 40, **options)
    first, again = contents(source), contents(source)
    labels = np.array([e["label"] for e in first])
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["image"], two["image"])
        assert one["image"].shape == (16, 16, 3) and one["image"].dtype == "uint8"
    assert len({e["image"].tobytes() for e in first}) == 40
    if multi_label:
        assert set(labels.sum(1).astype(int)) == {0, 1, 2} and labels.sum(0).min() > 0
    else:
        assert np.bincount(labels).tolist() == [4] * 10
    other = generated_source(10, 40, offset=40, **options).example_of(tf.constant(0, tf.int64))
    assert other["image"].numpy().tobytes() not in {e["image"].tobytes() for e in first}


def test_generated_images_can_be_learnt():
    # each shape differs in its outline from the noise: colour classes by the mean of bright pixels
    def features(offset):
        source = generated_source(4, 200, size=16, offset=offset)
        examples = contents(source)
        images = np.stack([e["image"] for e in examples]).astype(float)
        saturation = images.max(-1) - images.min(-1)
        return (saturation > 120).mean((1, 2)), np.array([e["label"] for e in examples])

    area, labels = features(0)
    means = [area[labels == label].mean() for label in range(4)]
    assert max(means) > 1.5 * min(means)


@pytest.mark.parametrize("option", [{"classes": 1}, {"size": 4}, {"count": -1}])
def test_generated_refuses(option):
    with pytest.raises(ValueError, match="must be at least"):
        open_source("generated", "train", **option)
