"""Trains a tiny recipe on devices of all kinds; `test_strategy.py` starts it and compares.

strategy_program.py OUT one mirrored:2 mirrored:4     one after the other, on logical CPUs
strategy_program.py OUT host:port,host:port INDEX     as one of several workers
"""

import dataclasses
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_regionvit.layers.drop_path import DropPath
from training.data import inputs as data
from training.distribute.strategy import open_strategy
from training.engine.loop import train
from training.engine.steps import evaluation_step, image_losses, own_draws, seeds_of
from training.evaluators.classification import evaluate
from training.recipes import catalogue as recipes
from training.tasks.classification import build_parts


def tiny_recipe():
    """20 steps with all that replicas could do wrong, but nothing that draws in the model."""
    return dataclasses.replace(
        recipes.smoke("imagenet1k"), images=88, classes=7, embed_dims=(32,), depths=(1,),
        window_size=(2,), image_size=8, drop_path_rate=0.0, epochs=4, batch_size=16, accumulation=2,
        clip_norm=0.5, ema=0.9, repeats=3, mixup=0.8, cutmix=1.0, schedule="step",
        warmup_epochs=1, learning_rate=1e-3, rate_batch=16,
    )  # fmt: skip


def train_on(strategy, out):
    """Writes weights, averages and figures to `out`."""
    keras.utils.set_random_seed(0)
    recipe = tiny_recipe()
    inputs = data.open_inputs(recipe)
    parts = build_parts(recipe, inputs.classes, inputs.steps_per_epoch, strategy)
    held_out = data.spread_evaluation(strategy, recipe, inputs.held_out, batch_size=30)
    history, _ = train(
        recipe,
        parts,
        lambda step: data.spread_training(strategy, recipe, inputs, seed=0, start_step=step),
        held_out,
        out.parent / f"run-{out.name}",
        steps_per_epoch=inputs.steps_per_epoch,
    )
    step = evaluation_step(strategy, parts.model, image_losses(multi_label=True), multi_label=True)
    history.append(evaluate(step, held_out, multi_label=True))
    weights = {f"w{i}": np.array(v.value) for i, v in enumerate(parts.model.trainable_variables)}
    means = {f"m{i}": np.array(v.value) for i, v in enumerate(parts.average)}
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
