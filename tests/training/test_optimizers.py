"""The AdamW of training against Keras' own and PyTorch's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.optimizers import AdamW, adamw
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
