"""The eight model functions, in the manner of keras.applications."""

import inspect

import keras
import numpy as np
import pytest

import keras_regionvit
from keras_regionvit import RegionViTBackbone, RegionViTTiny, RegionViTTinyPlus, backbone
from keras_regionvit.layers import stage
from keras_regionvit.tasks import classification
from keras_regionvit.variants import function_name

NAMES = ["Tiny", "Small", "Medium", "Base"]
KINDS = ["", "Plus"]


@pytest.fixture(scope="module")
def tiny():
    return RegionViTTiny(weights=None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("plus", KINDS)
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
    assert function.__name__ == function.__qualname__ == f"RegionViT{name}{plus}"
    title = {"Tiny": "Ti", "Small": "S", "Medium": "M", "Base": "B"}[name] + ("+" if plus else "")
    summary, rest = inspect.getdoc(function).split("\n", 1)
    assert summary.startswith(f"RegionViT-{title}, ") and "{" not in rest
    assert f">>> model = keras_regionvit.{function.__name__}(weights=None)" in rest
    assert all(f"\n    {parameter}: " in rest for parameter in parameters)


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


def test_every_variant_has_a_function():
    names = {variant: function_name(variant) for variant in keras_regionvit.list_models()}
    assert names["small_plus"] == "RegionViTSmallPlus" and names["base_w14"] == "RegionViTBase"
    assert set(names.values()) == {f"RegionViT{name}{plus}" for name in NAMES for plus in KINDS}
    with pytest.raises(ValueError, match="name='huge'"):
        function_name("huge")


@pytest.mark.parametrize("variant", ["tiny", "tiny_plus", "tiny_w14"])
def test_function_of_a_variant(variant):
    function = getattr(keras_regionvit, function_name(variant))
    plain = variant.removesuffix("_w14")
    window = {} if plain == variant else {"window_size": 14}
    shape = (56, 56, 3)
    model = function(weights=None, include_top=False, input_shape=shape, pooling="avg", **window)
    assert model.name == f"regionvit_{plain}"
    same = RegionViTBackbone.from_variant(variant, input_shape=shape)
    (backbone,) = (x for x in model.layers if isinstance(x, RegionViTBackbone))
    assert {**backbone.get_config(), "name": None} == {**same.get_config(), "name": None}


def test_names_of_layers():
    """Loading and serving know layers by the constants of the modules that make them."""
    shape = (16, 16, 3)
    inner = RegionViTBackbone((8, 16), (1, 2), window_size=2, peg=True, input_shape=shape)
    assert [layer.name for layer in inner.layers] == [
        backbone.IMAGE,
        backbone.REGIONAL_TOKENIZER,
        backbone.LOCAL_TOKENIZER,
        backbone.STAGE.format(1),
        backbone.LEVEL.format(2),
        backbone.DOWNSAMPLING.format(2),
        backbone.STAGE.format(2),
        backbone.LEVEL.format(3),
    ]
    paths = [weight.path for weight in inner.get_layer("stage2").weights]
    places = {path.split("/")[1] for path in paths}
    assert places == {stage.ENCODER.format(1), stage.ENCODER.format(2), stage.PEG_NAME}
    model = keras_regionvit.build_classifier(inner, classes=3)
    names = [layer.name for layer in model.layers[2:]]
    assert names == [classification.NORM, classification.POOL, classification.HEAD]


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
    ready = keras_regionvit.preprocess_input(images)
    np.testing.assert_allclose(inside(images), outside(ready), atol=1e-5)


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
        ({"embed_dims": (), "depths": ()}, "`embed_dims` must be a positive integer for each"),
        ({"depths": (1, 0)}, "`depths` must be a positive integer or have one for each of the 2"),
        ({"embed_dims": (16, 48)}, "`embed_dims` must double"),
        ({"num_heads": (1,)}, "`num_heads` must .* have one for each of the 2"),
        ({"num_heads": (3, 3)}, "`embed_dim` must be a multiple of `num_heads`"),
        ({"patch_size": 3}, "`patch_size` must be a power of two"),
        ({"stem": "conv2"}, "`stem` must be 'conv1', 'conv3' or 'patch'"),
    ],
)
def test_bad_backbone(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        RegionViTBackbone(**{"embed_dims": (16, 32), "depths": (1, 1), **arguments})
