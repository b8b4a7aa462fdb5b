"""A second task, which only the tests know: how bright are the dots that are asked about?

An example is an image and up to five dots, as many as it has: ragged, padded to five. A model takes
two inputs, the image and the places asked about, and the loss is divided by the number of dots in
the global batch. Less of its metric is better.

Run as a script it trains: finding_task.py OUT STRATEGY DROPOUT [more words of the run ...]
STRATEGY is "one" or "mirrored:2"; it goes on with what OUT holds.
"""

import dataclasses
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_regionvit.files import replacing
from training.data.sources.source import Source, shuffled_range
from training.evaluators.evaluator import Evaluator
from training.recipes.schema import Recipe
from training.recipes.sections import Augment, Data, Optimizer, Schedule
from training.tasks.task import Task

MOST, SIDE, COUNT = 5, 12, 44


@dataclasses.dataclass(frozen=True)
class Finding:
    """The task's own section."""

    count_weight: float = 0.1
    dropout: float = 0.0


@dataclasses.dataclass(frozen=True)
class FindingRecipe(Recipe):
    task = "finding"
    finding: Finding = dataclasses.field(default_factory=Finding)


def recipe(dropout=0.0):
    return FindingRecipe(
        "finding",
        data=Data("drawn", image_size=SIDE, channels=1, mean=(0.0,), std=(1.0,), batch_size=8),
        augment=Augment(repeats=1, mixup=0.0, cutmix=0.0),
        optimizer=Optimizer(
            learning_rate=0.01, base_batch_size=8, accumulation=2, ema=0.5, clip_norm=1.0
        ),
        schedule=Schedule(epochs=4, warmup_epochs=1, every="step"),
        finding=Finding(dropout=dropout),
    )


def dots_of(index):
    """Places and brightness of the dots of an image, float32 (n, 3): none to five."""
    rng = np.random.default_rng(int(index))
    places = rng.permutation(SIDE * SIDE)[: index % (MOST + 1)]
    bright = rng.uniform(0.2, 1.0, len(places))
    return np.stack([places // SIDE, places % SIDE, bright], axis=1).astype("float32")


def drawn_source(offset, count):
    """Images drawn from their index, with a ragged number of dots."""

    def example_of(index):
        dots = tf.numpy_function(dots_of, [index + offset], tf.float32, stateful=False)
        dots = tf.ensure_shape(dots, (None, 3))
        places = tf.cast(dots[:, :2], tf.int32)
        image = tf.scatter_nd(places, dots[:, 2], (SIDE, SIDE))
        return {"image": image[..., None], "dots": dots}

    return Source(
        name=f"drawn from {offset}",
        info={"most": MOST},
        count=count,
        records=lambda seed: shuffled_range(count, seed),
        example_of=example_of,
        key_of=lambda index: {"index": index, "name": tf.strings.as_string(index)},
    )


class MeanError(Evaluator):
    """How far off the brightness of a dot is: less is better."""

    monitor, mode = "error", "min"

    def reset(self):
        self.total, self.dots, self.seen = 0.0, 0.0, 0

    @property
    def count(self):
        return self.seen

    def measure(self, targets, outputs, weights):
        there = targets["there"] * weights[:, None]
        error = tf.abs(targets["bright"] - outputs["bright"])
        sums = {"error": tf.reduce_sum(error * there), "dots": tf.reduce_sum(there)}
        return {**sums, "count": tf.reduce_sum(weights)}, {}

    def update(self, sums, rows):
        self.total += float(sums["error"])
        self.dots += float(sums["dots"])
        self.seen += int(sums["count"])

    def result(self):
        return {"error": self.total / self.dots}


class FindingTask(Task):
    unit = "drawings"

    def open_split(self, split, data=None):
        return drawn_source(0, COUNT) if split == "train" else drawn_source(1000, 21)

    def assumed_info(self):
        return {"most": MOST}

    def build_model(self, info):
        image = keras.Input((SIDE, SIDE, 1), name="image")
        asked = keras.Input((info["most"], 2), name="asked")
        seen = keras.layers.Dense(16, activation="relu")(keras.layers.Flatten()(image))
        seen = keras.layers.Dropout(self.recipe.finding.dropout)(seen)
        seen = keras.layers.RepeatVector(info["most"])(seen)
        x = keras.layers.Concatenate()([seen, asked])
        x = keras.layers.Dense(16, activation="relu")(x)
        bright = keras.layers.Reshape((info["most"],))(keras.layers.Dense(1)(x))
        count = keras.layers.Dense(1)(keras.layers.Flatten()(x))
        return keras.Model({"image": image, "asked": asked}, {"bright": bright, "count": count})

    def specs(self, info):
        floats = (
            {"image": (SIDE, SIDE, 1), "asked": (MOST, 2)},
            {"bright": (MOST,), "there": (MOST,)},
        )
        return tuple({k: tf.TensorSpec(v, tf.float32) for k, v in nest.items()} for nest in floats)

    def preparation(self, info, training):
        def prepare(example, seed):
            image, dots = example["image"], example["dots"]
            if training:  # one draw moves the image and its dots
                mirrored = tf.random.stateless_uniform((), seed) < 0.5
                image = tf.where(mirrored, image[:, ::-1], image)
                columns = tf.where(mirrored, SIDE - 1 - dots[:, 1], dots[:, 1])
                dots = tf.stack([dots[:, 0], columns, dots[:, 2]], axis=1)
            there = tf.pad(tf.ones(tf.shape(dots)[:1]), [[0, MOST - tf.shape(dots)[0]]])
            dots = tf.pad(dots, [[0, MOST - tf.shape(dots)[0]], [0, 0]])
            asked = dots[:, :2] / SIDE - 0.5
            return {"image": image, "asked": asked}, {"bright": dots[:, 2], "there": there}

        return prepare

    def loss(self, targets, outputs):
        there = targets["there"]
        bright = tf.reduce_sum(there * tf.square(targets["bright"] - outputs["bright"]))
        off = tf.reduce_sum(there, axis=1, keepdims=True) / MOST - outputs["count"]
        count = self.recipe.finding.count_weight * tf.reduce_sum(tf.square(off))
        return {"bright": bright, "count": count}, tf.reduce_sum(there)

    def evaluator(self, info):
        return MeanError()

    def export(self, model, info, folder):
        with replacing(folder / "model.keras") as aside:
            model.save(aside)
        return model


def main(out, strategy, dropout, save_every=0):
    from training.distribute.strategy import open_strategy
    from training.runs.plan import Plan
    from training.runs.run import run

    name, _, devices = strategy.partition(":")
    opened = open_strategy(name, devices=int(devices) if devices else None)
    tf.config.experimental.enable_op_determinism()
    task = FindingTask(recipe(float(dropout)))
    report = run(
        task, Plan(task.recipe, seed=3, save_every=int(save_every)), pathlib.Path(out),
        strategy=opened,
    )  # fmt: skip
    print(json.dumps({"error": report["error"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
