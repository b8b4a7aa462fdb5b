"""A stage, and whole tiny models against the slow NumPy forward.

Models of any size run in float64, where they agree to 1e-7 (the root of two in TensorFlow's
GELU is float32); models of one size run in float32, as users' do.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit import (
    RegionViTBackbone,
    build_classifier,
    load_official_weights,
    official_state_dict,
)
from keras_regionvit.layers import RegionalToLocalStage
from tests.oracles import numpy_regionvit
from tests.support import synthetic

ANY = (None, None, 3)
MODELS = {
    "conv3": dict(embed_dims=(16, 32), depths=(2, 1), window_size=3),
    "conv1 peg norm": dict(
        embed_dims=(8, 16), depths=(1, 2), window_size=2, stem="conv1", peg=True, pyramid_norm=True
    ),
    "patch 2, three stages, peg": dict(
        embed_dims=(16, 32, 64), depths=(1, 2, 1), window_size=4, patch_size=2, peg=True
    ),
    "patch 2, conv1, no qkv bias": dict(
        embed_dims=(12, 24), depths=(2, 2), window_size=3, patch_size=2, stem="conv1",
        qkv_bias=False, mlp_ratio=2.5,
    ),
}  # fmt: skip
# Fitting every stage; padded on one axis, on both; not of whole patches; less than a region.
SIZES = {
    "conv3": [(24, 48), (24, 30), (33, 24), (41, 29), (1, 1), (2, 13)],
    "conv1 peg norm": [(16, 32), (16, 23), (19, 16), (13, 29), (7, 2)],
    "patch 2, three stages, peg": [(32, 32), (16, 23), (21, 11), (1, 1)],
    "patch 2, conv1, no qkv bias": [(24, 12), (12, 17), (31, 19)],
}


def new_model(dtype=None, **arguments):
    """A classifier of two heads a stage, and its weights as an official file holds them."""
    stages = len(arguments["embed_dims"])
    arguments = {"input_shape": ANY, "num_heads": (2,) * stages, **arguments}
    backbone = RegionViTBackbone(**arguments, dtype=dtype)
    model = build_classifier(backbone, classes=5, classifier_activation=None)
    shapes = {key: array.shape for key, array in official_state_dict(model).items()}
    arrays = synthetic.state_dict(shapes)
    load_official_weights(model, arrays)
    return model, backbone, arrays


def outputs_of(model, backbone):
    """One model of the three things to compare: logits, regional tokens and the pyramid."""
    inner = keras.Model(backbone.input, [backbone.output, backbone.pyramid_outputs])

    def outputs(images):
        last, pyramid = inner(images)
        return {
            "logits": model(images),
            "regional_tokens": last["regional_tokens"],
            "pyramid": list(pyramid.values()),
        }

    return outputs


def check(found, arrays, backbone, images, precision=1e-5):
    """That each output is the NumPy model's; the head of a float64 model stays float32."""
    for i, image in enumerate(images):
        expected = numpy_regionvit.forward(
            arrays, image, backbone.window_size, backbone.num_heads, backbone.patch_size
        )
        pairs = [(name, found[name][i], expected[name]) for name in ("logits", "regional_tokens")]
        pairs += [
            (f"stage {s + 1}", a[i], b)
            for s, (a, b) in enumerate(zip(found["pyramid"], expected["pyramid"], strict=True))
        ]
        for name, a, b in pairs:
            assert a.shape == b.shape, name
            error = np.abs(a - b).max() / np.abs(b).max()
            allowed = max(precision, 1e-6) if name == "logits" else precision
            assert error < allowed, f"{name} of {image.shape} is {error:.1e} off"


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return request.param, *new_model(**MODELS[request.param], dtype="float64")


def test_models_of_any_size_are_the_numpy_model(model):
    name, model, backbone, arrays = model
    signature = [tf.TensorSpec((None, *ANY), "float64")]
    traced = tf.function(outputs_of(model, backbone), input_signature=signature)
    for i, (height, width) in enumerate(SIZES[name]):
        images = synthetic.image(height, width, seed=height, batch=2 if i == 0 else 1)
        check(traced(images.astype("float64")), arrays, backbone, images, precision=1e-7)
    assert traced.experimental_get_tracing_count() == 1


def test_models_of_one_size_are_the_numpy_model(model):
    name, _, _, _ = model
    for height, width in SIZES[name][::2]:  # fits, padded on both axes, ...
        fixed, backbone, arrays = new_model(**MODELS[name], input_shape=(height, width, 3))
        images = synthetic.image(height, width, seed=height, batch=1)
        check(outputs_of(fixed, backbone)(images), arrays, backbone, images)


@pytest.mark.parametrize("size", [(16, 16), (11, 13), (1, 5)])
def test_windows_that_shrink_with_the_map(size):
    model, backbone, arrays = new_model(
        embed_dims=(16, 32, 64), depths=(1, 1, 2), window_size=(4, 4, 2), patch_size=2,
        pyramid_norm=True, input_shape=(*size, 3),
    )  # fmt: skip
    images = synthetic.image(*size, seed=5)
    check(outputs_of(model, backbone)(images), arrays, backbone, images)


def test_windows_that_do_not_cover_every_map_are_refused():
    arguments = dict(embed_dims=(8, 16), depths=(1, 1), num_heads=(2, 2), window_size=(4, 2))
    for shape in [ANY, (64, 64, 3), (16, 64, 3)]:
        with pytest.raises(ValueError, match=r"`window_size`=\(4, 2\) does not cover.*input_shape"):
            RegionViTBackbone(**arguments, input_shape=shape)
    stage = RegionalToLocalStage(8, 2, 2)
    with pytest.raises(ValueError, match=r"2x3 regions of window_size=2 do not cover.*5x6"):
        stage((np.zeros((1, 2, 3, 8)), np.zeros((1, 5, 6, 8))))


def gradients(outputs_of, weights):
    with tf.GradientTape() as tape:
        # a sum with unequal weights: a norm makes the plain one constant
        loss = tf.add_n(
            [
                tf.reduce_sum(x * np.cos(np.arange(np.prod(x.shape))).reshape(x.shape))
                for x in outputs_of()
            ]
        )
    found = tape.gradient(loss, [weight.value for weight in weights])
    return {
        weight.path: 0.0 if gradient is None else np.abs(tf.convert_to_tensor(gradient)).max()
        for weight, gradient in zip(weights, found, strict=True)
    }


def test_gradient_reaches_every_weight(model):
    name, model, backbone, _ = model
    images = synthetic.image(*SIZES[name][2])
    # of a classifier all but the last bias table and, where there is one, the last pyramid norm
    largest = gradients(lambda: [model(images)], model.trainable_weights)
    stages = len(backbone.depths)
    last = f"stage{stages}/encoder{backbone.depths[-1]}/attention/position_bias_table"
    unused = {last}
    if backbone.pyramid_norm:
        level = list(backbone.pyramid_outputs)[-1]
        unused |= {f"{level}/gamma", f"{level}/beta"}
    assert {path for path, value in largest.items() if value == 0} == unused
    assert min(value for path, value in largest.items() if path not in unused) > 1e-7
    # of a detector's backbone all but those
    inner = keras.Model(backbone.input, backbone.pyramid_outputs)
    largest = gradients(lambda: inner(images).values(), backbone.trainable_weights)
    assert min(largest.values()) > 1e-7, min(largest, key=largest.get)


def test_padded_tokens_reach_real_ones_in_the_corner_only():
    keras.utils.set_random_seed(0)
    stage = RegionalToLocalStage(8, 2, 2)
    rng = np.random.default_rng(0)
    regional = rng.standard_normal((1, 2, 2, 8)).astype("float32")
    local = rng.standard_normal((1, 4, 3, 8)).astype("float32")  # one column short
    _, masked = stage((regional, local))
    # a column of zeros that is written out is real: everybody attends to it
    _, attended = stage((regional, np.pad(local, [(0, 0), (0, 0), (0, 1), (0, 0)])))
    difference = np.abs(np.asarray(masked) - np.asarray(attended)[:, :, :3]).max((0, 3))
    assert (difference[:2, 2] > 1e-6).all(), "the upper right region is masked"
    difference[:2, 2] = 0
    assert (difference < 1e-7).all(), "all others, the lower right one too, attend to all they have"


def test_depth_is_the_number_of_rates():
    stage = RegionalToLocalStage(8, 2, 3, drop_path_rates=(0.0, 0.1, 0.2), peg=True)
    assert [encoder.drop_path_rate for encoder in stage.encoders] == [0.0, 0.1, 0.2]
    assert stage.peg is not None and RegionalToLocalStage(8, 2, 3).peg is None
    spec = stage.compute_output_spec(
        (keras.KerasTensor((None, None, 2, 8)), keras.KerasTensor((None, 5, None, 8)))
    )
    assert [x.shape for x in spec] == [(None, None, 2, 8), (None, 5, None, 8)]
