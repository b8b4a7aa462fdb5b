"""Trains a tiny detector or segmenter on one device or two; `test_dense_replicas.py` compares.

dense_program.py OUT detection one mirrored:2
dense_program.py OUT mask_rcnn one mirrored:2
"""

import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from training.data.inputs import evaluation_dataset, open_inputs, training_dataset
from training.distribute.strategy import open_strategy
from training.engine.loop import Loop
from training.engine.state import make_train_state
from training.engine.steps import evaluate, evaluation_step
from training.recipes import catalogue
from training.tasks import open_task

LAST_BATCHES = (4,)  # of 7 held-out images the last batch has 3, in training one


def recipe_of(kind):
    """Four steps; what drops parts would draw apart on each replica."""
    recipe = catalogue.smoke(f"quickstart_{kind}")
    changes = {
        "data.images": 8, "data.batch_size": 4, "schedule.epochs": 2, "schedule.warmup_epochs": 0,
        f"{recipe.task}.width": 8, "model.drop_path_rate": 0.0,
        **({"segmentation.dropout_rate": 0.0, "segmentation.head_width": 8}
           if kind == "segmentation" else {}),
    }  # fmt: skip
    return recipe.with_values(changes)


def train_on(strategy, name, out):
    """Writes weights and metrics to `out`."""
    keras.utils.set_random_seed(0)
    task = open_task(recipe_of(name))
    inputs = open_inputs(task)
    state = make_train_state(task, inputs.info, inputs.steps_per_epoch, strategy)
    held_out = task.open_split("test")
    object.__setattr__(held_out, "count", 7)
    records = held_out.records
    object.__setattr__(held_out, "records", lambda seed: records(seed).take(7))
    folder = out.parent / f"run-{out.name}"
    loop = Loop(task, state, inputs.info, folder, steps_per_epoch=inputs.steps_per_epoch)
    loop.train(
        lambda step: training_dataset(strategy, task, inputs, seed=0, start_step=step),
        evaluation_dataset(strategy, task, held_out, batch_size=3),
    )
    metrics = list(state.history)
    evaluator = task.evaluator(inputs.info)
    step = evaluation_step(strategy, state.model, evaluator)
    for size in LAST_BATCHES:
        batches = evaluation_dataset(strategy, task, held_out, batch_size=size)
        metrics.append({**evaluate(step, evaluator, batches), "count": evaluator.count})
    np.savez(out, **{v.path: np.array(v.value) for v in state.model.variables
                     if "seed_generator" not in v.path})  # fmt: skip
    out.with_suffix(".json").write_text(json.dumps(metrics))


def main(out, task, *words):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for word in words:
        name, _, devices = word.partition(":")
        strategy = open_strategy(name, devices=int(devices) if devices else None)
        train_on(strategy, task, pathlib.Path(out, f"{name}{devices}.npz"))


if __name__ == "__main__":
    main(*sys.argv[1:])
