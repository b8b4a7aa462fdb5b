import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit import RegionViTBackbone
from keras_regionvit.layers import MLP, PEG, DropPath, RegionalToLocalEncoder
from tests.oracles import numpy_regionvit

REGIONS, WINDOW, CHANNELS = 6, 2, 8  # a grid of 2 x 3

OFFICIAL = {
    "regional_norm": "norm0",
    "local_norm": "norm1",
    "mlp_norm": "norm2",
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


def new_encoder(seed=0, **arguments):
    """An encoder whose weights are of order one over the root of their fan-in."""
    layer = RegionalToLocalEncoder(CHANNELS, 2, WINDOW, **arguments)
    layer.build((None, None, CHANNELS), (None, None, None, CHANNELS))
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        scale = CHANNELS**-0.5 if len(variable.shape) == 2 else 1.0
        variable.assign(scale * rng.standard_normal(variable.shape))
    return layer


@pytest.fixture(scope="module")
def encoder():
    return new_encoder()


@pytest.fixture(scope="module")
def tokens():
    rng = np.random.default_rng(1)
    regional = rng.standard_normal((2, REGIONS, CHANNELS)).astype("float32")
    local = rng.standard_normal((2, REGIONS, WINDOW**2, CHANNELS)).astype("float32")
    return tf.constant(regional), tf.constant(local)


def official(layer):
    """The weights of an encoder as an official file holds them."""
    arrays = {}
    for variable in layer.weights:
        *_, module, leaf = variable.path.split("/")
        value = np.asarray(variable.value, "float64")
        if leaf == "position_bias_table":
            side = 2 * WINDOW - 1
            shift = WINDOW - 1 - WINDOW // 2
            wrapped = np.roll(value.reshape(-1, side, side), (-shift, -shift), axis=(1, 2))
            arrays["attn.rel_pos"] = wrapped.reshape(value.shape)
        else:
            kind = "weight" if leaf in ("kernel", "gamma") else "bias"
            arrays[f"{OFFICIAL[module]}.{kind}"] = value.T
    return arrays


def test_encoder_is_equation_2(encoder, tokens):
    found = [np.asarray(x) for x in encoder(*tokens)]
    for image in range(2):
        regional, local = (np.asarray(x[image], "float64") for x in tokens)
        maps = local.reshape(2, 3, WINDOW, WINDOW, CHANNELS).transpose(0, 2, 1, 3, 4)
        expected = numpy_regionvit.run_encoder(
            official(encoder),
            regional.reshape(2, 3, CHANNELS),
            maps.reshape(2 * WINDOW, 3 * WINDOW, CHANNELS),
            (2 * WINDOW, 3 * WINDOW),
            WINDOW,
            2,
        )
        expected_local = expected[1].reshape(2, WINDOW, 3, WINDOW, CHANNELS)
        expected_local = expected_local.transpose(0, 2, 1, 3, 4).reshape(local.shape)
        expected_regional = expected[0].reshape(regional.shape)
        np.testing.assert_allclose(found[0][image], expected_regional, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[1][image], expected_local, rtol=1e-5, atol=1e-5)


def influence(function, tokens):
    """(to, from) matrices over regions: how strongly outputs depend on inputs.

    Blocks of the Jacobian, each multiplied from the left by a random vector. They are named
    by kind, as in `["local", "regional"]`: local outputs by regional inputs.
    """
    inputs = [x[:1] for x in tokens]  # one image
    rng = np.random.default_rng(3)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs = dict(zip(("regional", "local"), function(*inputs), strict=True))
    matrices = {(to, source): np.zeros((REGIONS, REGIONS)) for to in outputs for source in outputs}
    for to, y in outputs.items():
        for region in range(REGIONS):
            vector = np.zeros(y.shape, "float32")
            vector[0, region] = rng.standard_normal(vector[0, region].shape)
            gradients = tape.gradient(y, inputs, tf.constant(vector))
            for source, gradient in zip(("regional", "local"), gradients, strict=True):
                largest = np.abs(gradient[0]).reshape(REGIONS, -1).max(1)
                matrices[to, source][region] = largest
    return matrices


def test_a_region_sees_its_window_and_all_regional_tokens_and_nothing_else(encoder, tokens):
    seen = influence(encoder, tokens)
    own = np.eye(REGIONS, dtype=bool)
    for to in ("regional", "local"):
        assert (seen[to, "regional"] > 1e-4).all(), "regional attention reaches every region"
        assert (seen[to, "local"][own] > 1e-4).all(), "local attention reaches the own window"
        assert (seen[to, "local"][~own] == 0).all(), "and no other window"


def test_two_encoders_carry_a_window_to_every_region(encoder, tokens):
    seen = influence(lambda *inputs: encoder(*encoder(*inputs)), tokens)
    assert all((matrix > 1e-5).all() for matrix in seen.values())


def test_masked_tokens_reach_nobody(encoder, tokens):
    mask = np.ones((REGIONS, 5, 5), bool)
    mask[2, :, 4] = mask[2, 4, :] = False  # the last token of region 2
    regional, local = tokens
    changed = local.numpy()
    changed[:, 2, 3] += 1
    before = encoder(regional, local, attention_mask=mask)
    after = encoder(regional, tf.constant(changed), attention_mask=mask)
    np.testing.assert_array_equal(before[0], after[0])
    difference = np.abs(before[1] - after[1]).max((0, 3))
    assert difference[2, 3] > 0 and np.isfinite(after[1]).all()
    difference[2, 3] = 0
    assert (difference == 0).all()


@pytest.mark.parametrize("drop_path_rate", [0.0, 0.4])
def test_tokens_apart_are_the_plain_formula(tokens, drop_path_rate):
    """A stage's last encoder keeps regional and local tokens in two tensors: equal numbers."""
    found = []
    for apart in (False, True):
        layer = new_encoder(drop_path_rate=drop_path_rate)
        layer.apart = apart
        keras.utils.set_random_seed(0)
        kept = layer.draw(*tokens, training=True)
        with tf.GradientTape() as tape:
            tape.watch(tokens)
            outputs = layer(*tokens, kept=kept, training=True)
            value = sum(tf.reduce_sum(tf.sin(x)) for x in outputs)
        weights = [w.value for w in layer.trainable_weights]
        found.append([*outputs, *tape.gradient(value, [*tokens, *weights])])
    for together, apart in zip(*found, strict=True):
        np.testing.assert_allclose(apart, together, rtol=1e-4, atol=1e-5)


def test_local_tokens_that_nobody_reads_cost_nothing(tokens):
    def products(apart):
        layer = new_encoder()
        layer.apart = apart
        function = tf.function(lambda *inputs: layer(*inputs)[0])
        graph = function.get_concrete_function(*tokens).graph
        # what the outputs are made from, as TensorFlow prunes a graph
        needed, stack = set(), [x.op for x in graph.outputs]
        while stack:
            operation = stack.pop()
            if operation.name not in needed:
                needed.add(operation.name)
                stack.extend(x.op for x in operation.inputs)
        sizes = [
            op.outputs[0].shape.num_elements()
            for op in graph.get_operations()
            if op.type == "MatMul" and op.name in needed
        ]
        return sum(sizes)

    read = 2 * REGIONS  # regional tokens of two images, local ones in both cases are four times
    saved = 4 * read * (CHANNELS + 4 * CHANNELS + CHANNELS)  # projection and feed-forward
    assert products(apart=False) - products(apart=True) == saved


def silence(layer, norm):
    """Makes the branch under `norm` zero: its input is zero, and so is every bias after it."""
    for variable in getattr(layer, norm).weights:
        variable.assign(np.zeros(variable.shape))
    for dense in (layer.attention.qkv, layer.attention.proj, layer.mlp.fc1, layer.mlp.fc2):
        dense.bias.assign(np.zeros(dense.bias.shape))


@pytest.mark.parametrize("branch", ["regional_norm", "local_norm", "mlp_norm"])
def test_stochastic_depth_acts_per_image_in_rsa_and_per_region_elsewhere(branch):
    keras.utils.set_random_seed(0)
    layer = new_encoder(drop_path_rate=0.25)
    for norm in {"regional_norm", "local_norm", "mlp_norm"} - {branch}:
        silence(layer, norm)
    rng = np.random.default_rng(2)
    regional = rng.standard_normal((32, REGIONS, CHANNELS)).astype("float32")
    local = rng.standard_normal((32, REGIONS, WINDOW**2, CHANNELS)).astype("float32")

    def added(training):  # (images, regions, tokens, channels)
        outputs = [np.asarray(x) for x in layer(regional, local, training=training)]
        return np.concatenate([(outputs[0] - regional)[:, :, None], outputs[1] - local], axis=2)

    full, thinned = added(training=False), added(training=True)
    if branch == "regional_norm":  # the local tokens have no part in it
        assert not full[:, :, 1:].any()
        full, thinned = full[:, :, :1], thinned[:, :, :1]
    # each region is kept, divided by 0.75, or dropped: all its tokens alike
    kept = np.abs(thinned).max((2, 3)) > 0
    expected = np.where(kept[:, :, None, None], full / 0.75, 0)
    np.testing.assert_allclose(thinned, expected, rtol=1e-4, atol=1e-5)
    together = (kept == kept[:, :1]).all(axis=1)
    if branch == "regional_norm":
        assert together.all() and 0 < kept[:, 0].sum() < 32
    else:
        assert together.sum() < 20 and 0.6 < kept.mean() < 0.9


def test_drop_path_keeps_the_expectation():
    ones = np.ones((50_000, 2, 3), "float32")
    dropped = np.asarray(DropPath(0.3, seed=0)(ones, training=True))
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / 0.7], rtol=1e-6)
    assert abs(dropped[:, 0, 0].mean() - 1) < 0.02  # six standard errors


@pytest.mark.parametrize(("axes", "samples"), [(1, 64), (2, 64 * 5)])
def test_drop_path_draws_once_a_sample(axes, samples):
    dropped = np.asarray(DropPath(0.5, axes=axes, seed=1)(np.ones((64, 5, 3, 2)), training=True))
    rows = dropped.reshape(samples, -1)
    assert (rows == rows[:, :1]).all()
    assert 0.3 < (rows[:, 0] == 0).mean() < 0.7
    if axes == 2:
        assert (dropped != dropped[:, :1]).any(), "regions of an image draw apart"


def test_drop_path_is_the_identity_at_inference_and_at_rate_zero():
    x = np.random.default_rng(0).standard_normal((3, 2)).astype("float32")
    np.testing.assert_array_equal(DropPath(0.9)(x), x)
    np.testing.assert_array_equal(DropPath(0.0)(x, training=True), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_drop_path_rate_must_be_a_probability_below_one(rate):
    with pytest.raises(ValueError, match=r"`rate` must be at least 0 and below 1.*rate="):
        DropPath(rate)


def test_stochastic_depth_rises_linearly_over_all_encoders():
    backbone = RegionViTBackbone(
        (8, 16), (2, 3), (2, 2), 2, drop_path_rate=0.2, input_shape=(None, None, 3)
    )
    encoders = [e for i in (1, 2) for e in backbone.get_layer(f"stage{i}").encoders]
    for attribute in ("drop_regional", "drop_local", "drop_mlp"):
        rates = [getattr(encoder, attribute).rate for encoder in encoders]
        np.testing.assert_allclose(rates, [0, 0.05, 0.1, 0.15, 0.2])


def test_mlp_is_exact_gelu_between_two_denses():
    layer = MLP(5, ratio=1.5)  # 7.5 hidden channels are 7
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype("float32")
    layer(x)
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal(w.shape) for w in layer.weights]
    layer.set_weights(weights)
    assert [w.shape for w in weights] == [(5, 7), (7,), (7, 5), (5,)]
    hidden = numpy_regionvit.gelu(x @ weights[0] + weights[1])
    np.testing.assert_allclose(layer(x), hidden @ weights[2] + weights[3], rtol=1e-4, atol=1e-5)


def test_low_rank_adaptation_gets_its_gradients():
    layer = MLP(5)
    layer.build((None, 5))
    layer.fc2.enable_lora(2)
    rng = np.random.default_rng(0)
    layer.fc2.lora_kernel_b.assign(rng.normal(size=layer.fc2.lora_kernel_b.shape))
    x = tf.constant(rng.normal(size=(33, 5)), tf.float32)
    found = []
    for function in (lambda: layer(x, training=True), lambda: layer(x)):  # lean and plain
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(function() ** 2)
        found.append(tape.gradient(value, [w.value for w in layer.fc2.trainable_variables]))
    assert len(found[0]) == 3  # bias and two factors
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(5, 3), (1, 1), (2, 7)])
def test_peg_adds_a_depthwise_convolution(size):
    layer = PEG(3)
    x = np.random.default_rng(0).standard_normal((1, *size, 3)).astype("float32")
    layer(x)
    kernel = np.random.default_rng(1).standard_normal((3, 3, 3, 1))
    layer.set_weights([kernel])
    stage = {"peg.weight": kernel[..., 0].transpose(2, 0, 1)[:, None]}
    np.testing.assert_allclose(layer(x)[0], numpy_regionvit.peg(stage, x[0]), rtol=1e-4, atol=1e-5)
