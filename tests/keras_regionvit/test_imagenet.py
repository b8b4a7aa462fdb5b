import keras
import numpy as np
import pytest

import keras_regionvit
from keras_regionvit.imagenet import MEAN, STD


def test_statistics_are_keras_own():
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 3, 5, 3))
    keras_own = keras.applications.imagenet_utils.preprocess_input(pixels.copy(), mode="torch")
    np.testing.assert_allclose((pixels - MEAN) / STD, keras_own, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_preprocess_input(dtype):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3)).astype(dtype)
    kept = images.copy()
    ready = keras_regionvit.preprocess_input(images)
    np.testing.assert_array_equal(images, kept)
    np.testing.assert_allclose(ready, (kept - np.array(MEAN)) / STD, atol=1e-5)


def test_preprocess_input_refuses():
    with pytest.raises(ValueError, match=r"`x` must have the shape \(..., height, width, 3\)"):
        keras_regionvit.preprocess_input(np.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match="`data_format` must be 'channels_last'"):
        keras_regionvit.preprocess_input(np.zeros((1, 3, 8, 8)), data_format="channels_first")


def test_decode_predictions(monkeypatch):
    utils = pytest.importorskip("keras.src.applications.imagenet_utils")
    index = {str(i): [f"n{i:08}", f"class {i}"] for i in range(1000)}
    monkeypatch.setattr(utils, "CLASS_INDEX", index)
    preds = np.eye(1000, dtype="float32")[[7, 30]]
    decoded = keras_regionvit.decode_predictions(preds, top=2)
    assert [row[0] for row in decoded] == [
        ("n00000007", "class 7", 1.0),
        ("n00000030", "class 30", 1.0),
    ]
    with pytest.raises(ValueError, match=r"\(samples, 1000\)"):
        keras_regionvit.decode_predictions(preds[:, :5])
