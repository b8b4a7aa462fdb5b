"""What every layer must do: round trips, bfloat16, a training step, any size."""

import inspect
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit import layers

RATES = {"dropout_rate": 0.2, "attention_dropout_rate": 0.3}
# Name: arguments, none of them a default; shapes of the inputs; shapes with unknown sizes.
CASES = {
    "MLP": (
        dict(embed_dim=6, ratio=1.5, dropout_rate=0.2),
        [(2, 3, 5, 6)],
        [(None, None, None, 6)],
    ),
    "PEG": (dict(embed_dim=6), [(2, 3, 5, 6)], [(None, None, None, 6)]),
    "DropPath": (dict(rate=0.5, axes=2, seed=7), [(8, 3, 5, 6)], [(None, None, None, 6)]),
    "Downsampling": (dict(embed_dim=6), [(2, 3, 7, 6)], [(None, None, None, 6)]),
    "LocalTokenizer": (
        dict(embed_dim=8, patch_size=2, stem="conv1", image_channels=2),
        [(2, 11, 7, 2)],
        [(None, None, None, 2)],
    ),
    "RegionalTokenizer": (
        dict(embed_dim=8, region=6, image_channels=2),
        [(2, 12, 7, 2)],
        [(None, None, None, 2)],
    ),
    "RegionAttention": (
        dict(embed_dim=8, num_heads=2, window_size=2, qkv_bias=False, **RATES),
        [(2, 3, 5, 8)],
        [(None, None, None, 8)],
    ),
    "RegionalToLocalEncoder": (
        dict(embed_dim=8, num_heads=2, window_size=2, mlp_ratio=2.0, qkv_bias=False,
             drop_path_rate=0.4, **RATES),
        [(2, 5, 8), (2, 5, 4, 8)],
        [(None, None, 8), (None, None, 4, 8)],
    ),
    "RegionalToLocalStage": (
        dict(embed_dim=8, num_heads=2, window_size=3, drop_path_rates=(0.1, 0.4), mlp_ratio=2.0,
             qkv_bias=False, peg=True, **RATES),
        [(2, 2, 3, 8), (2, 5, 7, 8)],
        [(None, None, None, 8), (None, None, None, 8)],
    ),
}  # fmt: skip
RANDOM = ["MLP", "DropPath", "RegionAttention", "RegionalToLocalEncoder", "RegionalToLocalStage"]
every_layer = pytest.mark.parametrize("name", CASES)


def new_layer(layer_name, **more):
    keras.utils.set_random_seed(0)
    return getattr(layers, layer_name)(**CASES[layer_name][0], **more)


def inputs_of(name, shapes=None):
    rng = np.random.default_rng(0)
    shapes = shapes or CASES[name][1]
    return [tf.constant(rng.standard_normal(shape), "float32") for shape in shapes]


def call(layer, inputs, **kwargs):
    """A flat list of outputs."""
    if isinstance(layer, layers.RegionalToLocalStage):
        outputs = layer(tuple(inputs), **kwargs)
    else:
        outputs = layer(*inputs, **kwargs)
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def takes_training(layer):
    return "training" in inspect.signature(layer.call).parameters


def test_no_layer_is_left_out():
    exported = {name for name in layers.__all__ if inspect.isclass(getattr(layers, name))}
    assert exported == set(CASES)


@every_layer
def test_config_round_trip(name):
    layer = new_layer(name, name="original")
    inputs = inputs_of(name)
    expected = call(layer, inputs)
    parameters = inspect.signature(type(layer).__init__).parameters.values()
    arguments = {p.name: p.default for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD}
    del arguments["self"]
    arguments.pop("gradient_checkpointing", None)  # not with dropout; has its own tests
    for argument, default in arguments.items():
        assert layer.get_config()[argument] == CASES[name][0][argument] != default, argument

    written = json.dumps(keras.layers.serialize(layer))
    copy = keras.layers.deserialize(json.loads(written))
    assert type(copy) is type(layer) and copy.name == "original"
    assert json.dumps(copy.get_config()) == json.dumps(layer.get_config())
    call(copy, inputs)
    assert [w.path for w in copy.weights] == [w.path for w in layer.weights]
    copy.set_weights(layer.get_weights())
    for a, b in zip(call(copy, inputs), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@every_layer
def test_bfloat16_keeps_float32_weights_and_close_numbers(name):
    inputs = inputs_of(name)
    full, mixed = new_layer(name), new_layer(name, dtype="mixed_bfloat16")
    expected = call(full, inputs)
    call(mixed, inputs)
    if full.weights:
        mixed.set_weights(full.get_weights())
    for part in mixed._flatten_layers():
        assert part.compute_dtype == "bfloat16", part.path
    assert all(w.dtype == "float32" for w in mixed.trainable_weights)
    for a, b in zip(call(mixed, inputs), expected, strict=True):
        assert a.dtype == "bfloat16"
        assert np.abs(tf.cast(a, "float32") - b).max() < 0.03 * max(1, np.abs(b).max())


@every_layer
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_training_step(name, dtype):
    layer = new_layer(name, dtype=dtype)
    inputs = inputs_of(name)
    still = call(layer, inputs)
    training = {"training": True} if takes_training(layer) else {}

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = call(layer, inputs, **training)
            loss = tf.add_n([tf.reduce_sum(tf.cast(x, "float32") ** 2) for x in outputs])
        return outputs, tape.gradient(loss, [*inputs, *(w.value for w in layer.trainable_weights)])

    outputs, gradients = step()
    for x in [*outputs, *gradients]:
        if x is not None:  # regional attention has no use for the bias table
            assert np.isfinite(tf.cast(tf.convert_to_tensor(x), "float32")).all()
    assert sum(x is None for x in gradients) == (name == "RegionAttention")
    moved = max(
        np.abs(tf.cast(a - b, "float32")).max() for a, b in zip(outputs, still, strict=True)
    )
    if name in RANDOM:
        assert moved > 1e-3
        again, _ = step()
        assert (np.asarray(outputs[0]) != np.asarray(again[0])).any(), "each step draws again"
    else:
        assert moved < 1e-2


@every_layer
def test_unknown_batch_and_size(name):
    layer = new_layer(name)
    call(layer, inputs_of(name))
    signature = [tf.TensorSpec(shape) for shape in CASES[name][2]]
    traced = tf.function(lambda *inputs: call(layer, inputs), input_signature=signature)
    for shapes in [CASES[name][1], *sizes(name)]:
        inputs = inputs_of(name, shapes)
        for a, b in zip(traced(*inputs), call(layer, inputs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert traced.experimental_get_tracing_count() == 1


def sizes(name):
    """Shapes of inputs, of other batches and sizes than those of the table."""
    if name == "RegionalToLocalEncoder":
        return [[(b, r, 8), (b, r, 4, 8)] for b, r in [(1, 1), (3, 7)]]
    if name == "RegionalToLocalStage":
        cases = [(1, 1, 1, 1, 1), (3, 2, 5, 6, 15), (1, 2, 3, 6, 8), (2, 3, 1, 7, 2)]
        return [[(b, i, j, 8), (b, h, w, 8)] for b, i, j, h, w in cases]
    channels = CASES[name][1][0][-1]
    return [[(b, h, w, channels)] for b, h, w in [(1, 2, 3), (3, 6, 12), (2, 13, 5), (1, 18, 18)]]


@every_layer
def test_compute_output_shape(name):
    layer = new_layer(name)
    for shapes in [CASES[name][1], *sizes(name)]:
        found = [tuple(x.shape) for x in call(layer, inputs_of(name, shapes))]
        pair = name == "RegionalToLocalStage"
        said = (
            layer.compute_output_shape(tuple(shapes))
            if pair
            else layer.compute_output_shape(*shapes)
        )
        assert found == ([said] if len(found) == 1 else [*said])
        # the symbolic call says the same, and unknown batches stay unknown
        unknown = call(layer, [keras.KerasTensor((None, *shape[1:])) for shape in shapes])
        assert [x.shape for x in unknown] == [(None, *shape[1:]) for shape in found]


@every_layer
def test_unknown_sizes_are_symbolic(name):
    layer = new_layer(name)
    symbols = [keras.KerasTensor(shape) for shape in CASES[name][2]]
    for x in call(layer, symbols):
        assert x.shape[0] is None and isinstance(x.shape[-1], int)
        assert math.prod(x.shape[-1:]) > 0 and x.dtype == "float32"


@every_layer
def test_registered_under_the_package(name):
    assert keras.saving.get_registered_name(getattr(layers, name)) == f"keras_regionvit>{name}"
