"""Steps of training and evaluation against plain Keras and NumPy."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.engine import checkpoint
from training.engine.loop import BEST, LAST, NotFinite, averages, train
from training.engine.steps import evaluation_step, image_losses, training_step
from training.evaluators.classification import auc, evaluate
from training.optimizers import adamw
from training.recipes import catalogue as recipes
from training.tasks.classification import build_model, build_parts, load_start

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


def run_steps(model, data, *, optimizer=None, **kwargs):
    """The sums of each step."""
    optimizer = optimizer or adamw(model, 0.01, 0.1)
    optimizer.build(model.trainable_variables)
    step = training_step(
        STRATEGY, model, optimizer, image_losses(label_smoothing=0.1), batch_size=6, **kwargs
    )
    return [step(tf.constant(x), tf.constant(y)).numpy() for x, y in data]


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
    average = averages(clipped)
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
    step = training_step(
        STRATEGY, scaled, optimizer, image_losses(), batch_size=6, clip_norm=clip_norm
    )
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
    figures = evaluate(evaluation_step(STRATEGY, model, image_losses()), data)
    assert figures["loss"] == pytest.approx(loss, rel=1e-5)
    assert figures["accuracy"] == pytest.approx(accuracy)
    assert figures["top5_accuracy"] == 1.0  # of three classes
    with pytest.raises(ValueError, match="not a single image"):
        evaluate(evaluation_step(STRATEGY, model, image_losses()), data.take(0))


def test_top5():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Softmax()])
    scores = np.tile(np.arange(8.0), (8, 1)).astype("float32")  # class 7 first, then 6 ...
    data = tf.data.Dataset.from_tensor_slices((scores, np.eye(8, dtype="float32"))).batch(3)
    figures = evaluate(evaluation_step(STRATEGY, model, image_losses()), data)
    assert (figures["accuracy"], figures["top5_accuracy"]) == (1 / 8, 5 / 8)


def test_any_of_several_labels_is_right():
    """As ImageNet ReaL is judged; pictures without a label do not count."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Softmax()])
    scores = np.tile(np.arange(8.0), (4, 1)).astype("float32")  # class 7 first, then 6 ...
    labels = np.zeros((4, 8), "float32")
    labels[0, [2, 7]] = labels[1, [1, 4]] = labels[2, 0] = 1  # right, among five, wrong, none
    data = tf.data.Dataset.from_tensor_slices((scores, labels)).batch(3)
    figures = evaluate(evaluation_step(STRATEGY, model, image_losses()), data)
    surprise = np.log(np.exp(scores[0]).sum()) - scores[0]
    assert figures.pop("loss") == pytest.approx(
        np.mean([surprise[[2, 7]].mean(), surprise[[1, 4]].mean(), surprise[0]]), rel=1e-5
    )
    assert figures == {"images": 3, "accuracy": 1 / 3, "top5_accuracy": 2 / 3}


def test_auc_by_counting_pairs():
    rng = np.random.default_rng(0)
    labels = (rng.uniform(size=(41, 3)) < [0.2, 0.5, 0.0]).astype("float32")
    scores = rng.integers(0, 9, (41, 3)) / 9  # with ties
    areas = auc(labels, scores)
    for c in range(2):
        on, off = scores[labels[:, c] == 1, c], scores[labels[:, c] == 0, c]
        difference = on[:, None] - off[None]
        assert areas[c] == pytest.approx(np.mean((difference > 0) + (difference == 0) / 2))
    assert np.isnan(areas[2])  # nobody has it


def test_multi_label_evaluation():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Activation("sigmoid")])
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20, 3)).astype("float32")
    labels = (rng.uniform(size=(20, 3)) < 0.5).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((scores, labels)).batch(6)
    step = evaluation_step(STRATEGY, model, image_losses(True), multi_label=True)
    figures = evaluate(step, data, multi_label=True)
    assert figures["accuracy"] == pytest.approx(np.mean((scores > 0) == (labels > 0)))
    assert figures["auc"] == pytest.approx(auc(labels, scores).mean())
    cross = np.log1p(np.exp(-scores * (2 * labels - 1)))
    assert figures["loss"] == pytest.approx(cross.mean(), rel=1e-4)


# The loop


@pytest.fixture
def recipe():
    return dataclasses.replace(
        recipes.smoke("imagenet1k"), embed_dims=(32,), depths=(1,), window_size=(2,), image_size=8,
        schedule="step", epochs=2, batch_size=4,
    )  # fmt: skip


def pictures(count=8):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(count, 8, 8, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((images, np.eye(4, dtype="float32")[:2].repeat(4, 0)))


def run_loop(recipe, folder, data=None):
    keras.utils.set_random_seed(0)
    data = pictures() if data is None else data
    parts = build_parts(recipe, 4, 2, STRATEGY)
    history, _ = train(
        recipe, parts, lambda step: data.batch(4).repeat().skip(step), pictures().batch(3), folder,
        steps_per_epoch=2,
    )  # fmt: skip
    return parts, history


def test_the_average_is_evaluated_and_kept(recipe, tmp_path):
    recipe = dataclasses.replace(recipe, ema=0.5)
    parts, history = run_loop(recipe, tmp_path)
    own = weights(parts.model)
    with parts.averaged() as model:
        figures = evaluate(evaluation_step(STRATEGY, model, image_losses()), pictures().batch(5))
    assert_near(weights(parts.model), own, rtol=0, atol=0)
    assert figures["loss"] == pytest.approx(history[-1]["val_loss"], rel=1e-5)
    plain = evaluate(evaluation_step(STRATEGY, parts.model, image_losses()), pictures().batch(5))
    assert abs(plain["loss"] - figures["loss"]) > 1e-6
    best = build_model(recipe, 4)
    best.load_weights(tmp_path / BEST)
    found = evaluate(evaluation_step(STRATEGY, best, image_losses()), pictures().batch(5))
    assert found["accuracy"] == pytest.approx(max(row["val_accuracy"] for row in history))


def test_a_checkpoint_of_another_model_is_refused(recipe, tmp_path):
    run_loop(recipe, tmp_path)
    for other in ({"embed_dims": (64,)}, {"optimizer": "sgd"}, {"ema": 0.5}):
        with pytest.raises(ValueError, match=r"last.npz is the checkpoint of another model") as e:
            run_loop(dataclasses.replace(recipe, **other), tmp_path)
        assert "\n" not in str(e.value)


def test_a_loss_that_is_no_number_stops_the_run(recipe, tmp_path):
    broken = pictures().map(lambda image, label: (image * np.float32("nan"), label))
    with pytest.raises(NotFinite, match="not finite any more by step 2") as error:
        run_loop(recipe, tmp_path, broken)
    assert "\n" not in str(error.value) and not (tmp_path / LAST).exists()


def test_weights_to_start_from(recipe, tmp_path):
    """The head of other classes begins anew, tables are resized to other windows."""
    source = build_model(recipe, 4)
    source.save_weights(tmp_path / "a.weights.h5")
    build_model(recipe, 4, preprocessing=True).save(tmp_path / "b.keras")
    for name in ("a.weights.h5", "b.keras"):
        start = dataclasses.replace(recipe, weights=str(tmp_path / name))
        keras.utils.set_random_seed(5)
        same, other = build_model(recipe, 4), build_model(recipe, 7)
        head = weights(other)[-2:]
        load_start(same, start, 4)
        load_start(other, start, 7)
        if name == "a.weights.h5":
            assert_near(weights(same), weights(source), rtol=0, atol=0)
        assert_near(weights(other)[:-2], weights(same)[:-2], rtol=0, atol=0)
        assert_near(weights(other)[-2:], head, rtol=0, atol=0)
    wide = dataclasses.replace(recipe, weights=str(tmp_path / "a.weights.h5"), embed_dims=(64,))
    with pytest.raises(ValueError, match="does not hold the weights of the model"):
        load_start(build_model(wide, 4), wide, 4)
    with pytest.raises(ValueError, match="file that does not exist"):
        load_start(source, dataclasses.replace(recipe, weights="none.keras"), 4)
    with pytest.raises(ValueError, match="needs a variant"):
        load_start(source, dataclasses.replace(recipe, weights="imagenet"), 4)


def test_checkpoints_hold_the_seeds(recipe, tmp_path):
    """Stochastic depth goes on where it was: seeds are variables of the model."""
    recipe = dataclasses.replace(recipe, drop_path_rate=0.5, depths=(2,))
    parts, _ = run_loop(recipe, tmp_path)
    seeds = [v for v in parts.model.variables if "seed_generator_state" in v.path]
    fresh = build_parts(recipe, 4, 2, STRATEGY)
    others = [v for v in fresh.model.variables if "seed_generator_state" in v.path]
    assert seeds and any(
        (np.array(a) != np.array(b)).any() for a, b in zip(seeds, others, strict=True)
    )
    checkpoint.restore(tmp_path / LAST, {"model": fresh.model.variables})
    for a, b in zip(seeds, others, strict=True):
        np.testing.assert_array_equal(a, b)
