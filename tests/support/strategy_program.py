"""Trains a tiny recipe on devices of all kinds; `test_strategy.py` starts it and compares.

strategy_program.py OUT one mirrored:2 mirrored:4     one after the other, on logical CPUs
strategy_program.py OUT host:port,host:port INDEX     as one of several workers
"""

import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_regionvit.layers.drop_path import DropPath
from training.data.inputs import evaluation_dataset, open_inputs, training_dataset
from training.distribute.strategy import open_strategy
from training.engine.loop import Loop
from training.engine.state import make_train_state
from training.engine.steps import evaluate, evaluation_step, own_draws, seeds_of
from training.evaluators.classification import ClassificationEvaluator
from training.recipes import catalogue
from training.tasks.classification import Classification


def tiny_recipe():
    """20 steps with all that replicas could do wrong, but nothing that draws in the model."""
    return catalogue.smoke("imagenet1k").with_values({
        "data.images": 88, "classification.classes": 7, "model.embed_dims": (32,),
        "model.depths": (1,), "model.window_size": (2,), "data.image_size": 8,
        "model.drop_path_rate": 0.0, "schedule.epochs": 4, "data.batch_size": 16,
        "optimizer.accumulation": 2, "optimizer.clip_norm": 0.5, "optimizer.ema": 0.9,
        "augment.repeats": 3, "augment.mixup": 0.8, "augment.cutmix": 1.0,
        "schedule.every": "step", "schedule.warmup_epochs": 1, "optimizer.learning_rate": 1e-3,
        "optimizer.base_batch_size": 16,
    })  # fmt: skip


def train_on(strategy, out):
    """Writes weights, averages and metrics to `out`."""
    keras.utils.set_random_seed(0)
    task = Classification(tiny_recipe())
    inputs = open_inputs(task)
    state = make_train_state(task, inputs.info, inputs.steps_per_epoch, strategy)
    held_out = evaluation_dataset(strategy, task, inputs.held_out, batch_size=30)
    loop = Loop(
        task,
        state,
        inputs.info,
        out.parent / f"run-{out.name}",
        steps_per_epoch=inputs.steps_per_epoch,
    )
    loop.train(
        lambda step: training_dataset(strategy, task, inputs, seed=0, start_step=step), held_out
    )
    several = ClassificationEvaluator(multi_label=True)
    step = evaluation_step(strategy, state.model, several)
    history = [*state.history, evaluate(step, several, held_out)]
    weights = {f"w{i}": np.array(v.value) for i, v in enumerate(state.model.trainable_variables)}
    means = {f"m{i}": np.array(v.value) for i, v in enumerate(state.average)}
    np.savez(out, **weights, **means)
    out.with_suffix(".json").write_text(
        json.dumps({"history": history, "count": inputs.held_out.count})
    )


def masks(strategy):
    """What each replica keeps in two calls, and the states of the seeds after them."""
    with strategy.scope():
        keras.utils.set_random_seed(3)
        x = keras.Input((4,))
        y = keras.layers.Dropout(0.5)(DropPath(0.5)(x))
        model = keras.Model(x, y)
    seeds = seeds_of(model)

    @tf.function
    def step():
        def replica_step():
            with own_draws(seeds, tf.distribute.get_replica_context().replica_id_in_sync_group):
                return model(tf.ones((64, 4)), training=True)

        return strategy.experimental_local_results(strategy.run(replica_step))

    kept = [[np.array(x) for x in step()] for _ in range(2)]
    return np.array(kept), np.array(
        [np.array(x) for seed in seeds for x in strategy.experimental_local_results(seed.value)]
    )


def main(out, *words):
    out = pathlib.Path(out)
    if words[-1].isdecimal():
        workers, index = words[0].split(","), int(words[1])
        train_on(open_strategy("multiworker", workers, index), out / f"worker{index}.npz")
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
    for word in words:
        name, _, devices = word.partition(":")
        strategy = open_strategy(name, devices=int(devices) if devices else None)
        train_on(strategy, out / f"{name}{devices}.npz")
        kept, states = masks(strategy)
        np.savez(out / f"masks-{name}{devices}.npz", kept=kept, states=states)


if __name__ == "__main__":
    main(*sys.argv[1:])
