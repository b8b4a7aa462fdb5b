import sys

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


def tensors(images):
    """The images as tensors and variables of every library at hand, by kind and dtype."""
    found = {}
    for dtype in ("uint8", "int64", "bool", "float32"):
        array = (images % 2 if dtype == "bool" else images).astype(dtype)
        found[f"keras {dtype}"] = keras.ops.convert_to_tensor(array, dtype=dtype)
        torch = sys.modules.get("torch") or pytest.importorskip("torch", reason="needs torch")
        found[f"torch {dtype}"] = torch.tensor(array)
        if keras.backend.backend() == "tensorflow":
            found[f"variable {dtype}"] = sys.modules["tensorflow"].Variable(array)
    found["keras variable"] = keras.Variable(images.astype("float32"))
    return found


def test_tensors_are_left_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3))
    for kind, x in tensors(images).items():
        before = np.array(keras.ops.convert_to_numpy(x)).astype("float64")
        ready = keras_regionvit.preprocess_input(x)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(x), before, err_msg=kind)
        ready = keras.ops.convert_to_numpy(ready)
        assert ready.dtype == "float32", kind
        np.testing.assert_allclose(ready, (before - np.array(MEAN)) / STD, atol=1e-5, err_msg=kind)


@pytest.mark.parametrize(
    "x", [None, "photo.jpg", np.array([[["a", "b", "c"]]]), [[[1, 2, 3]], [1]]]
)
def test_what_holds_no_numbers(x):
    with pytest.raises(ValueError, match="`x` must be an array or a tensor of numbers"):
        keras_regionvit.preprocess_input(x)


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
