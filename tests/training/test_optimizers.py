"""The optimizers against Keras' own and PyTorch's, and what they let decay."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit import RegionViTBackbone, build_classifier
from training.optimizers import AdamW, MomentumSGD, adamw, no_decay_variables, sgd
from training.schedules import WarmupCosine


def model():
    keras.utils.clear_session()  # names count from one again
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(11, 4),  # sparse gradients
            keras.layers.Flatten(),
            keras.layers.Dense(7, activation="relu"),
            keras.layers.Dense(2),
        ]
    )


def fitted(kind, jit_compile=False, **arguments):
    """Weights and optimizer state, by path, after an epoch of `fit`."""
    net = model()
    optimizer = kind(WarmupCosine(0.02, 8, 2), weight_decay=0.1, epsilon=1e-5, **arguments)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    net.compile(optimizer, "mse", jit_compile=jit_compile)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 11, (32, 3)), rng.normal(size=(32, 2))
    net.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    state = [*net.trainable_variables, *optimizer.variables]
    return {variable.path: np.array(variable) for variable in state}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"jit_compile": True},
        {"global_clipnorm": 0.1},
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.9},
        {"amsgrad": True},
        {"beta_1": 0.8, "beta_2": 0.95},
    ],
    ids=lambda arguments: "-".join(arguments) or "plain",
)
def test_equals_keras(arguments):
    """Weights, momentums, velocities and averages, under names that Keras' AdamW loads."""
    ours, theirs = fitted(AdamW, **arguments), fitted(keras.optimizers.AdamW, **arguments)
    assert ours.keys() == theirs.keys()
    for path, value in theirs.items():
        np.testing.assert_allclose(ours[path], value, rtol=2e-5, atol=2e-6, err_msg=path)


def test_equals_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4)).astype("float32")
    ours, optimizer = keras.Variable(start), AdamW(0.1, weight_decay=0.05, epsilon=1e-8)
    theirs = torch.nn.Parameter(torch.tensor(start))
    group = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.05, eps=1e-8)
    for step in range(5):
        optimizer.learning_rate = group.param_groups[0]["lr"] = 0.1 / (step + 1)
        gradient = rng.normal(size=(3, 4)).astype("float32")
        optimizer.apply([tf.constant(gradient)], [ours])
        theirs.grad = torch.tensor(gradient)
        group.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_round_trip(tmp_path):
    """A saved model goes on with its own optimizer, in Keras' safe mode."""
    net = model()
    net.compile(adamw(net, 1e-3, 0.05, global_clipnorm=1.0), "mse")
    x, y = np.zeros((4, 3), "int32"), np.ones((4, 2))
    net.fit(x, y, verbose=0)
    net.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is AdamW and again.optimizer.global_clipnorm == 1.0
    for ours, theirs in zip(net.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_graph_is_lean():
    """A variable more adds few operations to a step's graph: with Keras' AdamW it is fifty."""
    counts = []
    for number in (10, 20):
        variables = [keras.Variable(np.ones((2, 2), "float32")) for _ in range(number)]
        optimizer = AdamW(0.1, weight_decay=0.1)
        optimizer.build(variables)
        gradients = [tf.ones((2, 2))] * number
        step = tf.function(lambda o=optimizer, g=gradients: o.apply(g), autograph=False)
        counts.append(len(step.get_concrete_function().graph.get_operations()))
    assert counts[1] - counts[0] <= 150


def tiny_model():
    keras.utils.set_random_seed(0)
    backbone = RegionViTBackbone((32,), (1,), window_size=2, patch_size=2, input_shape=(8, 8, 1))
    return build_classifier(backbone, 3)


def test_what_decays():
    """A step without gradient multiplies by 1 - rate * decay what decays, and leaves the rest."""
    decayed = {}
    for decay in ("official", "kernels"):
        model = tiny_model()
        for weight in model.trainable_variables:
            weight.assign(tf.ones_like(weight.value))
        optimizer = adamw(model, 0.5, 0.1, decay)
        zeros = [tf.zeros_like(w.value) for w in model.trainable_variables]
        optimizer.apply(zeros, model.trainable_variables)
        decayed[decay] = {w.path for w in model.trainable_variables if not np.allclose(w, 1.0)}
        for weight in model.trainable_variables:
            wanted = 0.95 if weight.path in decayed[decay] else 1.0
            np.testing.assert_allclose(weight, wanted, rtol=1e-6)
        for weight in model.trainable_variables:
            if len(weight.shape) < 2:
                assert weight.path not in decayed[decay]
    assert {path.split("/")[-1] for path in decayed["kernels"]} == {"kernel"}
    more = decayed["official"] - decayed["kernels"]
    assert {path.split("/")[-1] for path in more} == {"position_bias_table"}
    with pytest.raises(ValueError, match="`decay` must be 'official' or 'kernels'"):
        adamw(tiny_model(), 0.5, 0.1, "all")


def test_sgd_equals_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4)).astype("float32")
    for nesterov in (False, True):
        ours = keras.Variable(start)
        optimizer = MomentumSGD(0.1, 0.9, nesterov, l2=0.01)
        theirs = torch.nn.Parameter(torch.tensor(start))
        group = torch.optim.SGD(
            [theirs], lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01
        )
        for step in range(5):
            rate = 0.1 / (step + 1)  # a schedule acts on all of the velocity
            optimizer.learning_rate = group.param_groups[0]["lr"] = rate
            gradient = rng.normal(size=(3, 4)).astype("float32")
            optimizer.apply([tf.constant(gradient)], [ours])
            theirs.grad = torch.tensor(gradient)
            group.step()
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_sgd_spares_biases_and_trains_by_fit():
    model = tiny_model()
    optimizer = sgd(model, WarmupCosine(0.1, 8, 2), 1e-2)
    model.compile(optimizer, "categorical_crossentropy", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 1))
    y = np.eye(3)[np.arange(16) % 3]
    losses = model.fit(x, y, batch_size=4, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config()["l2"] == 1e-2 and again.nesterov
    bias = [v for v in model.trainable_variables if v.name == "bias"]
    assert bias and not any(optimizer._use_weight_decay(v) for v in bias)


def zero_step(model, optimizer):
    """The paths of the variables that a step without gradient changes."""
    variables = model.trainable_variables
    before = [np.array(v) for v in variables]
    optimizer.apply([tf.zeros_like(v.value) for v in variables], variables)
    changed = zip(variables, before, strict=True)
    return {v.path for v, value in changed if not np.array_equal(v, value)}


@pytest.mark.parametrize("decay", ["official", "kernels"])
@pytest.mark.parametrize("make", [adamw, sgd])
@pytest.mark.parametrize("scaled", [False, True])
def test_what_decays_survives_saving(tmp_path, make, decay, scaled):
    """Keras forgets it: the loaded model would go on with decay of biases and norms."""
    net = tiny_model()
    for weight in net.trainable_variables:
        weight.assign(weight + 0.5)  # zeros would not show it
    optimizer = make(net, 0.5, 0.1, decay=decay)
    wrapped = keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer
    net.compile(wrapped, "categorical_crossentropy", jit_compile=False)
    wrapped.build(net.trainable_variables)
    for name in ("once.keras", "twice.keras"):
        net.save(tmp_path / name)
        net = keras.saving.load_model(tmp_path / name)
    again = net.optimizer.inner_optimizer if scaled else net.optimizer
    assert type(again) is type(optimizer) and again is not optimizer
    kept = [v.path for v in no_decay_variables(net, decay)]
    assert len(kept) == len(set(kept)) > 10
    assert zero_step(net, again) == {v.path for v in net.trainable_variables} - set(kept)


def test_names_that_do_not_decay_survive_saving():
    optimizer = AdamW(0.5, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["table"])
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    table, kernel = (keras.Variable([1.0], name=name) for name in ("my_table", "kernel"))
    again.apply([tf.zeros(1), tf.zeros(1)], [table, kernel])
    assert (float(table[0]), float(kernel[0])) == (1.0, pytest.approx(0.95))


def test_optimizers_of_version_0_1_0():
    """Their files say nothing of what decays."""
    config = AdamW(0.5, weight_decay=0.1).get_config()
    del config["no_decay"]
    assert AdamW.from_config(config).weight_decay == 0.1
    assert "no_decay" not in config and config["learning_rate"] == 0.5
