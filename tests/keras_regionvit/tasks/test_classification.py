"""The classifier as a Keras model: one trace of the training step, any way of saving."""

import keras
import numpy as np

import keras_regionvit
from keras_regionvit.tasks.classification import Classifier


def build():
    keras.utils.set_random_seed(3)
    backbone = keras_regionvit.RegionViTBackbone(
        (16, 32), (1, 1), window_size=3, input_shape=(24, 24, 3), drop_path_rate=0.2
    )
    return keras_regionvit.build_classifier(backbone, classes=5)


def fit(model):
    traces = []
    compute_loss = model.compute_loss

    def counted(*args, **kwargs):
        traces.append(1)
        return compute_loss(*args, **kwargs)

    model.compute_loss = counted
    model.compile(
        keras.optimizers.AdamW(1e-2),
        "sparse_categorical_crossentropy",
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    images = np.random.default_rng(0).standard_normal((8, 24, 24, 3)).astype("float32")
    model.fit(images, np.arange(8) % 5, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return len(traces), model.get_weights()


def test_the_step_is_traced_once_and_trains_as_a_plain_model():
    ours, theirs = build(), build()
    plain = keras.Model(theirs.input, theirs.output)
    assert isinstance(ours, Classifier) and not isinstance(plain, Classifier)
    (once, weights), (_, expected) = fit(ours), fit(plain)
    assert once == 1
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_frozen_backbone_trains_its_head_alone():
    model = build()
    model.layers[1].trainable = False
    before = model.get_weights()
    fit(model)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert 0 < sum(changed) <= 4  # norm and predictions


def test_clone_is_a_classifier():
    assert isinstance(keras.models.clone_model(build()), Classifier)
