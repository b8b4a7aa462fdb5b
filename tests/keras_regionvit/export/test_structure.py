"""What is told from a Keras model's layers: whether it normalises, and whether it gives scores."""

import keras
import numpy as np
import pytest

import keras_regionvit
from keras_regionvit.export.structure import (
    check_classifier,
    kind_of_scores,
    normalizes,
    probabilities_of,
)

layers = keras.layers
SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def backbone():
    return keras_regionvit.RegionViTBackbone((8, 16), (1, 1), window_size=2, input_shape=SHAPE)


@pytest.fixture(scope="module")
def features(backbone):
    """What `RegionViTTiny(include_top=False, pooling="avg")` is, but small."""
    x = layers.GlobalAveragePooling2D()(backbone.output["regional_tokens"])
    return keras.Model(backbone.input, x)


def statistics():
    return layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 4.0, 4.0])


BEFORE = {
    "nothing": (lambda: [], False),
    "a flip": (lambda: [layers.RandomFlip()], False),
    "a flip and a crop": (lambda: [layers.RandomFlip(), layers.CenterCrop(8, 8)], False),
    "padding and resizing": (lambda: [layers.ZeroPadding2D(1), layers.Resizing(8, 8)], False),
    "Normalization": (lambda: [statistics()], True),
    "Rescaling": (lambda: [layers.Rescaling(1 / 127.5, -1)], True),
    "a flip and Rescaling": (lambda: [layers.RandomFlip(), layers.Rescaling(1 / 255)], True),
    "a model of both": (
        lambda: [keras.Sequential([keras.Input(SHAPE), layers.RandomFlip(), statistics()])],
        True,
    ),
    "a Lambda": (lambda: [layers.Lambda(lambda x: x / 255, name="own")], "own"),
}


@pytest.mark.parametrize("kind", BEFORE)
@pytest.mark.parametrize("sequential", [False, True])
def test_what_normalises(kind, sequential, features, backbone):
    build, expected = BEFORE[kind]
    if sequential:
        model = keras.Sequential([keras.Input(SHAPE), *build(), features, layers.Dense(3)])
    else:
        x = image = keras.Input(SHAPE)
        for layer in build():
            x = layer(x)
        model = keras_regionvit.build_classifier(backbone, 3, inputs=x)
        assert model.input is image
    assert normalizes(model) == expected
    check_classifier(model)


def test_operations_may_normalise(backbone):
    x = keras_regionvit.preprocess_input(keras.Input(SHAPE))
    assert isinstance(normalizes(keras_regionvit.build_classifier(backbone, 3, inputs=x)), str)


ENDS = {
    "softmax": (lambda: [layers.Dense(3, "softmax")], "probabilities"),
    "sigmoid": (lambda: [layers.Dense(3, "sigmoid")], "probabilities"),
    "logits": (lambda: [layers.Dense(3)], "logits"),
    "a layer": (lambda: [layers.Dense(3), layers.Softmax()], "probabilities"),
    "an activation": (lambda: [layers.Dense(3), layers.Activation("softmax")], "probabilities"),
    "a cast": (
        lambda: [layers.Dense(3, "softmax"), layers.Activation("linear", dtype="float32")],
        "probabilities",
    ),
    "a head of its own": (
        lambda: [keras.Sequential([layers.Dense(4, "relu"), layers.Dense(3)])],
        "logits",
    ),
    "relu": (lambda: [layers.Dense(3, "relu")], "must end in a softmax"),
    "features": (lambda: [], "must end in a softmax"),
    "one score": (lambda: [layers.Dense(1, "sigmoid")], "at least 2"),
}


@pytest.mark.parametrize("kind", ENDS)
def test_what_gives_scores(kind, features):
    build, expected = ENDS[kind]
    model = keras.Sequential([keras.Input(SHAPE), features, *build()])
    if " " in expected:
        with pytest.raises(ValueError, match=expected):
            check_classifier(model)
        return
    check_classifier(model)
    assert kind_of_scores(model) == expected
    images = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype("float32")
    expected = model(images)
    if kind_of_scores(model) == "logits":
        expected = keras.ops.softmax(expected)
    np.testing.assert_allclose(probabilities_of(model)(images), expected, atol=1e-6)


def test_other_things_are_refused(backbone):
    for given in (None, 3, "model.keras", keras.Sequential([layers.Dense(3)])):
        with pytest.raises(ValueError, match=r"`model` must be a built keras\.Model"):
            check_classifier(given)
    with pytest.raises(ValueError, match="`model` must take one batch of images"):
        check_classifier(backbone)
