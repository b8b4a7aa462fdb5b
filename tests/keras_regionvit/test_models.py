"""The eight model functions, in the manner of keras.applications."""

import inspect

import keras
import numpy as np
import pytest

import keras_regionvit
from keras_regionvit import RegionViTBackbone, RegionViTTiny, RegionViTTinyPlus

NAMES = ["Tiny", "Small", "Medium", "Base"]


@pytest.fixture(scope="module")
def tiny():
    return RegionViTTiny(weights=None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("plus", ["", "Plus"])
def test_signature(name, plus):
    function = getattr(keras_regionvit, f"RegionViT{name}{plus}")
    parameters = inspect.signature(function).parameters
    assert list(parameters) == [
        "include_top",
        "weights",
        "input_tensor",
        "input_shape",
        "pooling",
        "classes",
        "classifier_activation",
        "name",
        "window_size",
        "peg",
        "drop_path_rate",
        "dropout_rate",
        "attention_dropout_rate",
        "include_preprocessing",
        "dtype",
    ]
    assert parameters["weights"].default == (None if plus else "imagenet")
    assert parameters["window_size"].kind is inspect.Parameter.KEYWORD_ONLY
    assert function.__name__ == f"RegionViT{name}{plus}"
    assert "classifier_activation: activation" in function.__doc__


def test_defaults(tiny):
    assert tiny.input_shape == (None, 224, 224, 3)
    assert tiny.output_shape == (None, 1000)
    assert tiny.name == "regionvit_tiny"
    assert RegionViTTinyPlus(include_top=False).input_shape == (None, 224, 224, 3)


def test_list_models():
    models = keras_regionvit.list_models()
    assert {
        f"{size}{kind}"
        for size in ("tiny", "small", "medium", "base")
        for kind in ("", "_plus", "_w14")
    } == set(models)


def test_without_top():
    arguments = {"include_top": False, "weights": None, "name": "features"}
    maps = RegionViTTiny(**arguments)
    assert maps.input_shape == (None, None, None, 3)
    average = RegionViTTiny(pooling="avg", **arguments)
    largest = RegionViTTiny(pooling="max", **arguments)
    average.set_weights(maps.get_weights())
    largest.set_weights(maps.get_weights())
    images = np.random.default_rng(0).standard_normal((1, 64, 96, 3)).astype("float32")
    tokens = keras.ops.convert_to_numpy(maps(images))
    assert tokens.shape == (1, 1, 1, 512)  # 3x4 regions of 28, halved three times
    images = np.random.default_rng(0).standard_normal((1, 240, 64, 3)).astype("float32")
    tokens = keras.ops.convert_to_numpy(maps(images))
    assert tokens.shape == (1, 2, 1, 512)
    np.testing.assert_allclose(average(images), tokens.mean((1, 2)), atol=1e-6)
    np.testing.assert_allclose(largest(images), tokens.max((1, 2)), atol=1e-6)


def test_input_tensor_and_activation(tiny):
    image = keras.Input((64, 64, 3))
    model = RegionViTTiny(weights=None, input_tensor=keras.layers.Rescaling(2.0)(image), classes=3)
    assert model.input_shape == (None, 64, 64, 3)
    assert model.output_shape == (None, 3)
    logits = RegionViTTiny(weights=None, input_shape=(32, 32, 3), classifier_activation=None)
    softmax = RegionViTTiny(weights=None, input_shape=(32, 32, 3))
    softmax.set_weights(logits.get_weights())
    x = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(softmax(x), keras.ops.softmax(logits(x)), atol=1e-6)


def test_preprocessing_inside_equals_outside():
    arguments = {"weights": None, "input_shape": (32, 32, 3), "classes": 7}
    inside = RegionViTTiny(include_preprocessing=True, **arguments)
    outside = RegionViTTiny(**arguments)
    outside.set_weights(inside.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    kept = images.copy()
    ready = keras_regionvit.preprocess_input(images)
    np.testing.assert_array_equal(images, kept)
    np.testing.assert_allclose(inside(images), outside(ready), atol=1e-5)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(ready, (images / 255 - mean) / std, atol=1e-5)
    floats = images.astype("float32")
    keras_regionvit.preprocess_input(floats)
    np.testing.assert_array_equal(floats, kept)


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


def test_plus_covers_up_to_224():
    for size in [(224, 224), (168, 224), (100, 220)]:
        RegionViTBackbone.from_variant("tiny_plus", input_shape=(*size, 3), depths=(1, 1, 1, 1))
    for size in [(448, 448), (225, 224), (None, None), (224, None)]:
        with pytest.raises(ValueError, match=r"window_size=14 covers any size"):
            RegionViTTinyPlus(input_shape=(*size, 3))
    assert RegionViTTinyPlus(input_shape=(None, None, 3), window_size=14).count_params() == 14354740


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"weights": "imagenet21k"}, r"`weights` must be None, 'imagenet', or the path"),
        ({"weights": 3}, r"`weights` must be None, 'imagenet', a path or a URL"),
        ({"weights": "missing.pth"}, r"does not exist: 'missing.pth'"),
        ({"classes": 10}, r"`classes` must be 1000 with `weights='imagenet'`"),
        ({"input_shape": (224, 224, 1)}, r"`input_shape` must have 3 channels"),
        ({"classifier_activation": "relu"}, r"`classifier_activation` must be None or 'softmax'"),
        ({"weights": None, "window_size": (7, 7)}, r"`window_size` must .* each of the 4 stages"),
        ({"weights": None, "window_size": 0}, r"`window_size` must be a positive integer"),
        ({"weights": None, "input_shape": (0, 224, 3)}, r"`input_shape` .* no empty side"),
        ({"weights": None, "input_shape": (224, 224)}, r"`input_shape` must be \(height, width"),
        ({"weights": None, "pooling": "mean"}, r"`pooling` must be None, 'avg' or 'max'"),
        ({"weights": None, "drop_path_rate": 1.0}, r"rate"),
        ({"weights": None, "classes": 0}, r"`classes` must be"),
        (
            {"weights": None, "include_preprocessing": True, "input_shape": (32, 32, 1)},
            r"3 channels",
        ),
        ({"weights": None, "input_tensor": np.zeros((1, 32, 32, 3))}, r"`input_tensor` must be a"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        RegionViTTiny(**arguments)
    assert "\n" not in str(error.value)


def test_imagenet_weights_of_plus():
    with pytest.raises(ValueError, match=r"`weights='imagenet'` exists only for tiny, small"):
        RegionViTTinyPlus(weights="imagenet")


def test_unknown_variant():
    with pytest.raises(ValueError, match=r"`name` must be one of tiny, .*name='huge'"):
        RegionViTBackbone.from_variant("huge")


def test_channels_first():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="'channels_first'; set it to 'channels_last'"):
            RegionViTTiny(weights=None)
        with pytest.raises(ValueError, match="`data_format` must be 'channels_last'"):
            keras_regionvit.preprocess_input(np.zeros((1, 3, 32, 32)))
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"embed_dims": (), "depths": ()}, "`embed_dims` and `depths`"),
        ({"depths": (1, 0)}, "`depths` must be at least 1"),
        ({"embed_dims": (16, 48)}, "`embed_dims` must double"),
        ({"num_heads": (1,)}, "`num_heads` must have one entry for each of the 2"),
        ({"num_heads": (3, 3)}, "`embed_dim` must be a multiple of `num_heads`"),
        ({"patch_size": 3}, "`patch_size` must be a power of two"),
        ({"stem": "conv2"}, "`stem` must be 'conv1', 'conv3', or 'patch'"),
    ],
)
def test_bad_backbone(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        RegionViTBackbone(**{"embed_dims": (16, 32), "depths": (1, 1), **arguments})
