"""Steps of training and evaluation against plain Keras and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.engine import checkpoint
from training.engine.loop import BEST, LAST, Loop, NotFinite
from training.engine.state import make_average, make_train_state
from training.engine.steps import evaluate, evaluation_step, training_step
from training.evaluators.classification import ClassificationEvaluator, auc, image_losses
from training.optimizers import adamw
from training.recipes import catalogue
from training.tasks.classification import Classification, build_model

STRATEGY = tf.distribute.get_strategy()


def small_model(dropout=0.0):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(7, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def batches(count=4, size=6):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(count, size, 5)).astype("float32")
    labels = rng.dirichlet([1, 1, 1], (count, size)).astype("float32")  # mixed, as by MixUp
    return list(zip(images, labels, strict=True))


def cross_entropy(labels, probabilities, label_smoothing=0.1):
    """The loss of a classifier: sums, and the number of rows."""
    losses = image_losses(label_smoothing=label_smoothing)(labels, probabilities)
    return {"loss": tf.reduce_sum(losses)}, labels.shape[0]


def right(labels, probabilities):
    found = tf.equal(tf.argmax(labels, -1), tf.argmax(probabilities, -1))
    return {"accuracy": tf.reduce_sum(tf.cast(found, tf.float32))}


def run_steps(model, data, *, optimizer=None, loss=cross_entropy, metrics=right, **kwargs):
    """The sums of each step: loss, right answers, rows."""
    optimizer = optimizer or adamw(model, 0.01, 0.1)
    optimizer.build(model.trainable_variables)
    step = training_step(STRATEGY, model, optimizer, loss, metrics, **kwargs)
    steps = [step(tf.constant(x), tf.constant(y)) for x, y in data]
    assert all(list(sums) == ["loss", "accuracy", "normaliser"] for sums in steps)
    return [[float(value) for value in sums.values()] for sums in steps]


def metrics_of(model, data, multi_label=False):
    """The metrics of a classifier over batches."""
    evaluator = ClassificationEvaluator(multi_label)
    metrics = evaluate(evaluation_step(STRATEGY, model, evaluator), evaluator, data)
    return {"images": evaluator.count, **metrics}


def weights(model):
    return [np.array(v) for v in model.trainable_variables]


def assert_near(first, second, **kwargs):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, **{"rtol": 1e-5, "atol": 1e-6, **kwargs})


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_step_is_what_fit_does(dropout):
    """Also with dropout: one seed after the other is drawn."""
    ours, theirs = small_model(dropout), small_model(dropout)
    sums = run_steps(ours, batches())
    theirs.compile(
        adamw(theirs, 0.01, 0.1),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy"],
        jit_compile=False,
    )
    images, labels = (np.stack(part) for part in zip(*batches(), strict=True))
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    history = theirs.fit(data, epochs=1, shuffle=False, verbose=0).history
    assert_near(weights(ours), weights(theirs))
    loss, right, count = np.sum(sums, axis=0)
    assert count == 24
    assert loss / count == pytest.approx(history["loss"][0], rel=1e-5)
    assert right / count == pytest.approx(history["accuracy"][0])


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_accumulation_changes_nothing(parts):
    whole, split = small_model(), small_model()
    first = run_steps(whole, batches(), clip_norm=0.05)
    second = run_steps(split, batches(), clip_norm=0.05, accumulation=parts)
    assert_near(weights(whole), weights(split))
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_clipping_and_average_by_hand():
    """SGD of rate 1: the change of the weights is the gradient, clipped as a whole."""
    free, clipped = small_model(), small_model()
    start = weights(free)
    data = batches(1)
    run_steps(free, data, optimizer=keras.optimizers.SGD(1.0))
    average = make_average(clipped)
    run_steps(
        clipped, data, optimizer=keras.optimizers.SGD(1.0), clip_norm=0.05, average=average, ema=0.9
    )
    changes = [a - b for a, b in zip(weights(free), start, strict=True)]
    norm = np.sqrt(sum(np.sum(c**2) for c in changes))
    assert norm > 0.1
    wanted = [a + c * 0.05 / norm for a, c in zip(start, changes, strict=True)]
    assert_near(weights(clipped), wanted)
    means = [0.9 * a + 0.1 * b for a, b in zip(start, weights(clipped), strict=True)]
    assert_near([np.array(v) for v in average], means)


@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_scaled_losses_change_nothing(clip_norm):
    """float16's scaling, here in float32: same weights; a step with inf is left out."""
    plain, scaled = small_model(), small_model()
    run_steps(plain, batches(), clip_norm=clip_norm)
    optimizer = keras.optimizers.LossScaleOptimizer(adamw(scaled, 0.01, 0.1), initial_scale=1024)
    run_steps(scaled, batches(), optimizer=optimizer, clip_norm=clip_norm)
    assert_near(weights(plain), weights(scaled), rtol=1e-4)
    before = weights(scaled)
    (x, y), *_ = batches()
    step = training_step(STRATEGY, scaled, optimizer, cross_entropy, clip_norm=clip_norm)
    step(tf.constant(np.full_like(x, np.inf)), tf.constant(y))
    assert_near(before, weights(scaled), rtol=0, atol=0)
    assert float(optimizer.dynamic_scale) == 512


def test_evaluation_is_what_keras_evaluates():
    model = small_model()
    x, y = (np.concatenate(part) for part in zip(*batches(), strict=True))
    y = np.eye(3, dtype="float32")[y.argmax(axis=1)]
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = model.evaluate(x, y, verbose=0)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(7)  # the last batch has three
    metrics = metrics_of(model, data)
    assert metrics["loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(accuracy)
    assert metrics["top5_accuracy"] == 1.0  # of three classes
    with pytest.raises(ValueError, match="not a single image"):
        metrics_of(model, data.take(0))


def test_top5():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Softmax()])
    scores = np.tile(np.arange(8.0), (8, 1)).astype("float32")  # class 7 first, then 6 ...
    data = tf.data.Dataset.from_tensor_slices((scores, np.eye(8, dtype="float32"))).batch(3)
    metrics = metrics_of(model, data)
    assert (metrics["accuracy"], metrics["top5_accuracy"]) == (1 / 8, 5 / 8)


def test_any_of_several_labels_is_right():
    """As ImageNet ReaL is judged; images without a label do not count."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Softmax()])
    scores = np.tile(np.arange(8.0), (4, 1)).astype("float32")  # class 7 first, then 6 ...
    labels = np.zeros((4, 8), "float32")
    labels[0, [2, 7]] = labels[1, [1, 4]] = labels[2, 0] = 1  # right, among five, wrong, none
    data = tf.data.Dataset.from_tensor_slices((scores, labels)).batch(3)
    metrics = metrics_of(model, data)
    surprise = np.log(np.exp(scores[0]).sum()) - scores[0]
    assert metrics.pop("loss") == pytest.approx(
        np.mean([surprise[[2, 7]].mean(), surprise[[1, 4]].mean(), surprise[0]]), rel=1e-5
    )
    assert metrics == {"images": 3, "accuracy": 1 / 3, "top5_accuracy": 2 / 3}


def area_by_counting(labels, scores):
    """Share of the pairs of an image with and one without a class that are in the right order."""
    difference = scores[labels == 1][:, None] - scores[labels == 0][None]
    return np.mean((difference > 0) + (difference == 0) / 2)


def test_auc_by_counting_pairs():
    rng = np.random.default_rng(0)
    labels = (rng.uniform(size=(41, 3)) < [0.2, 0.5, 0.0]).astype("float32")
    scores = rng.integers(0, 9, (41, 3)) / 9  # with ties
    areas = [area_by_counting(labels[:, c], scores[:, c]) for c in range(2)]
    assert auc(labels, scores) == pytest.approx(np.mean(areas))  # nobody has the third
    assert auc(labels[:, :1], scores[:, :1]) == pytest.approx(areas[0])
    assert auc(labels[:, 2:], scores[:, 2:]) == 0.5


def test_multi_label_evaluation():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Activation("sigmoid")])
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20, 3)).astype("float32")
    labels = (rng.uniform(size=(20, 3)) < 0.5).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((scores, labels)).batch(6)
    metrics = metrics_of(model, data, multi_label=True)
    assert metrics["accuracy"] == pytest.approx(np.mean((scores > 0) == (labels > 0)))
    areas = [area_by_counting(labels[:, c], scores[:, c]) for c in range(3)]
    assert metrics["auc"] == pytest.approx(np.mean(areas))
    cross = np.log1p(np.exp(-scores * (2 * labels - 1)))
    assert metrics["loss"] == pytest.approx(cross.mean(), rel=1e-4)


# Normalisers that are not the batch


def weighted(labels, probabilities):
    """A loss over some rows only, divided by how many they are."""
    counted = tf.cast(labels[:, 0] > 0.3, tf.float32)
    losses = image_losses()(labels, probabilities)
    return {"loss": tf.reduce_sum(counted * losses)}, tf.reduce_sum(counted)


def test_a_normaliser_that_the_data_tell():
    """The gradient is that of the mean over the rows that count, in parts as well."""
    start, (x, y) = weights(small_model()), batches(1)[0]
    model = small_model()
    with tf.GradientTape() as tape:
        sums, count = weighted(tf.constant(y), model(x, training=True))
        loss = sums["loss"] / count
    assert 0 < float(count) < 6
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for parts in (1, 2, 3):
        model = small_model()
        ((total, _, divisor),) = run_steps(
            model, batches(1), optimizer=keras.optimizers.SGD(1.0), loss=weighted,
            accumulation=parts,
        )  # fmt: skip
        assert total / divisor == pytest.approx(float(loss), rel=1e-5)
        changes = [a - b for a, b in zip(start, weights(model), strict=True)]
        assert_near(changes, [np.array(g) for g in gradients])


def test_a_batch_without_anything_to_count_changes_nothing():
    def nothing(labels, probabilities):
        return {"loss": 0.0 * tf.reduce_sum(probabilities)}, tf.zeros(())

    model = small_model()
    before = weights(model)
    run_steps(model, batches(1), optimizer=keras.optimizers.SGD(1.0), loss=nothing)
    assert_near(before, weights(model), rtol=0, atol=0)


def test_terms_of_a_loss_are_told_apart():
    def two(labels, probabilities):
        sums, count = cross_entropy(labels, probabilities)
        return {"first": sums["loss"], "second": 2 * sums["loss"]}, count

    model = small_model()
    optimizer = keras.optimizers.SGD(0.0)
    optimizer.build(model.trainable_variables)
    (x, y), *_ = batches()
    for parts in (1, 2):
        step = training_step(STRATEGY, model, optimizer, two, accumulation=parts)
        sums = step(tf.constant(x), tf.constant(y))
        assert list(sums) == ["loss", "first", "second", "normaliser"]
        assert float(sums["loss"]) == pytest.approx(3 * float(sums["first"]), rel=1e-5)


# The loop


@pytest.fixture
def recipe():
    return catalogue.smoke("imagenet1k").with_values({
        "model.embed_dims": (32,), "model.depths": (1,), "model.window_size": (2,),
        "data.image_size": 8, "schedule.every": "step", "schedule.epochs": 2, "data.batch_size": 4,
    })  # fmt: skip


INFO = {"class_names": ("a", "b", "c", "d")}


def images(count=8):
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(count, 8, 8, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((pixels, np.eye(4, dtype="float32")[:2].repeat(4, 0)))


def run_loop(recipe, folder, data=None):
    keras.utils.set_random_seed(0)
    data, task = images() if data is None else data, Classification(recipe)
    state = make_train_state(task, INFO, 2, STRATEGY)
    loop = Loop(task, state, INFO, folder, steps_per_epoch=2)
    loop.train(lambda step: data.batch(4).repeat().skip(step), images().batch(3))
    return state


def test_the_average_is_evaluated_and_kept(recipe, tmp_path):
    recipe = recipe.with_values({"optimizer.ema": 0.5})
    state = run_loop(recipe, tmp_path)
    own = weights(state.model)
    with state.averaged() as model:
        metrics = metrics_of(model, images().batch(5))
    assert_near(weights(state.model), own, rtol=0, atol=0)
    assert metrics["loss"] == pytest.approx(state.history[-1]["val_loss"], rel=1e-5)
    plain = metrics_of(state.model, images().batch(5))
    assert abs(plain["loss"] - metrics["loss"]) > 1e-6
    best = build_model(recipe, 4)
    best.load_weights(tmp_path / BEST)
    found = metrics_of(best, images().batch(5))
    assert found["accuracy"] == pytest.approx(max(row["val_accuracy"] for row in state.history))


def test_a_checkpoint_of_another_model_is_refused(recipe, tmp_path):
    run_loop(recipe, tmp_path)
    for other in (
        {"model.embed_dims": (64,)},
        {"optimizer.name": "sgd"},
        {"optimizer.ema": 0.5},
    ):
        with pytest.raises(ValueError, match=r"last.npz is the checkpoint of another model") as e:
            run_loop(recipe.with_values(other), tmp_path)
        assert "\n" not in str(e.value)


def test_a_checkpoint_from_before_tasks_is_refused(recipe, tmp_path):
    """Its sums have no names; the sentence says what to do, and nothing is touched."""
    state = run_loop(recipe, tmp_path)
    old = {"step": 2, "sums": [0.0, 0.0, 0.0], "history": []}
    checkpoint.save(tmp_path / LAST, state.variables(), old)
    before = (tmp_path / LAST).read_bytes()
    with pytest.raises(ValueError, match=r"was written by version 0\.1\.0") as error:
        run_loop(recipe, tmp_path)
    assert "\n" not in str(error.value) and (tmp_path / LAST).read_bytes() == before


def test_a_loss_that_is_not_finite_stops_the_run(recipe, tmp_path):
    broken = images().map(lambda image, label: (image * np.float32("nan"), label))
    with pytest.raises(NotFinite, match="not finite any more by step 2") as error:
        run_loop(recipe, tmp_path, broken)
    assert "\n" not in str(error.value) and not (tmp_path / LAST).exists()


def test_weights_to_start_from(recipe, tmp_path):
    """The head of other classes begins again."""
    source = build_model(recipe, 4)
    source.save_weights(tmp_path / "a.weights.h5")
    build_model(recipe, 4, preprocessing=True).save(tmp_path / "b.keras")
    for name in ("a.weights.h5", "b.keras"):
        task = Classification(recipe.with_values({"model.weights": str(tmp_path / name)}))
        keras.utils.set_random_seed(5)
        same, other = build_model(recipe, 4), build_model(recipe, 7)
        head = weights(other)[-2:]
        task.load_start(same)
        task.load_start(other)
        if name == "a.weights.h5":
            assert_near(weights(same), weights(source), rtol=0, atol=0)
        assert_near(weights(other)[:-2], weights(same)[:-2], rtol=0, atol=0)
        assert_near(weights(other)[-2:], head, rtol=0, atol=0)


def test_checkpoints_hold_the_seeds(recipe, tmp_path):
    """Stochastic depth goes on where it was: seeds are variables of the model."""
    recipe = recipe.with_values({"model.drop_path_rate": 0.5, "model.depths": (2,)})
    state = run_loop(recipe, tmp_path)
    seeds = [v for v in state.model.variables if "seed_generator_state" in v.path]
    fresh = make_train_state(Classification(recipe), INFO, 2, STRATEGY)
    others = [v for v in fresh.model.variables if "seed_generator_state" in v.path]
    assert seeds and any(
        (np.array(a) != np.array(b)).any() for a, b in zip(seeds, others, strict=True)
    )
    checkpoint.restore(tmp_path / LAST, {"model": fresh.model.variables})
    for a, b in zip(seeds, others, strict=True):
        np.testing.assert_array_equal(a, b)
