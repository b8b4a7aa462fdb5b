"""A run from the first step to the exported model."""

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_regionvit.files import WriteError, write_json
from training.data.corrupt_images import Skipped
from training.data.inputs import evaluation_dataset, open_inputs, training_dataset
from training.distribute.collectives import check_same, from_all, from_chief
from training.distribute.strategy import check_fits, describe
from training.engine.loop import Loop, best_epoch
from training.engine.state import make_train_state
from training.runs.folder import REPORT, versions
from training.runs.trained import draw_history, held_out_metrics, keep_info, load_trained


@dataclasses.dataclass(frozen=True)
class Finished:
    """A trained model and what is known of it, as a task's own `finish` gets it.

    Attributes:
        plan: the `training.runs.plan.Plan`.
        folder: the run's folder.
        trained: the model with the weights of the best epoch, the averaged ones, if there are any.
        model: what was saved as `model.keras`, made of it.
        inputs: the `training.data.inputs.Inputs`.
    """

    plan: Any
    folder: Path
    trained: Any
    model: Any
    inputs: Any

    @property
    def seed(self):
        """The run's seed."""
        return self.plan.seed

    @property
    def smoke(self):
        """Whether the run was made small."""
        return self.plan.smoke

    @property
    def saved_model(self):
        """Folder of the exported model."""
        return self.folder / "saved_model" / "1"


def run(task, plan, folder, *, strategy=None, stop=None):
    """Trains, from the checkpoint in `folder` if there is one; then exports the best epoch.

    Args:
        task: a `training.tasks.task.Task`.
        plan: a `training.runs.plan.Plan`.
        folder: the run's folder.
        strategy: optional `tf.distribute.Strategy`, see `distribute.strategy.open_strategy`; one
            device without it. Of several workers the chief alone writes to `folder`.
        stop: optional `training.engine.signals.StopRequest`.

    Returns:
        The report, a dict, as in `report.json`.

    Raises:
        ValueError: data, weights or the checkpoint do not fit, or workers have other data.
        LostWorker, WriteError, NotFinite, Stopped: see `training.engine.loop.Loop.train`.

    Example:

    >>> run(open_task(recipe), Plan(recipe), Path("runs/mine"))["loss"]
    """
    begun = time.monotonic()
    folder, strategy = Path(folder), strategy or tf.distribute.get_strategy()
    check_fits(strategy, task.recipe, plan.jit_compile)
    seed_everything(task.recipe, plan.seed)

    inputs = open_inputs(task, plan.data)
    check_same(strategy, shared_by_workers(task, inputs))
    from_chief(strategy, lambda: keep_info(folder, inputs.info), ValueError, WriteError)
    state = make_train_state(task, inputs.info, inputs.steps_per_epoch, strategy)
    print(*start_lines(task, inputs, state), sep="\n")
    skipped = Skipped()
    reading = {"skip_corrupt": plan.skip_corrupt, "skipped": skipped}
    batches = functools.partial(_batches_from, strategy, task, inputs, plan.seed, reading)
    validation = evaluation_dataset(strategy, task, inputs.held_out, **reading)
    loop = Loop(
        task,
        state,
        inputs.info,
        folder,
        steps_per_epoch=inputs.steps_per_epoch,
        save_every=plan.save_every,
        jit_compile=plan.jit_compile and not task.recipe.compute.deterministic,
        stop=stop,
    )
    speed = loop.train(batches, validation)

    names = set().union(*from_all(strategy, sorted(skipped.names)))
    known = {
        "devices": describe(strategy),
        f"{task.unit}_per_second": None if speed != speed else round(speed, 1),
    }
    if plan.skip_corrupt:
        known[f"skipped_{task.unit}"] = len(names)
    finish = functools.partial(_finish, task, plan, inputs, loop, known, begun)
    return from_chief(strategy, finish, ValueError, WriteError)


def start_lines(task, inputs, state):
    """What is said at the start: what there is to learn from, and the size of the model."""
    return [
        *inputs.notes,
        f"{state.model.count_params():,} weights, {inputs.source.count:,} {task.unit} to learn "
        f"from, {inputs.held_out.count:,} held out",
    ]


def seed_everything(recipe, seed):
    """Makes what follows a function of `seed`; bit by bit if the recipe asks for it."""
    keras.utils.set_random_seed(seed)
    if recipe.compute.deterministic:
        # keras-cv's layers ask for it, and never draw from it here
        tf.random.set_global_generator(tf.random.Generator.from_seed(seed, alg="philox"))
        tf.config.experimental.enable_op_determinism()


def shared_by_workers(task, inputs):
    """What the workers must find alike in their data, a dict of plain data.

    Example:

    >>> shared_by_workers(task, inputs)["number of images to learn from"]
    5000
    """
    found: dict[str, Any] = {
        f"number of {task.unit} to learn from": int(inputs.source.count),
        f"number of {task.unit} held out": int(inputs.held_out.count),
    }
    for key, value in inputs.info.items():
        name = key.replace("_", " ")
        if isinstance(value, (tuple, list)):
            found[f"number of {name}"] = len(value)
            found |= {f"{name} {i}": str(item) for i, item in enumerate(value)}
        else:
            found[name] = value
    return found


def _batches_from(strategy, task, inputs, seed, reading, step):
    """The batches of a training from a step on."""
    return training_dataset(strategy, task, inputs, seed=seed, start_step=step, **reading)


def _finish(task, plan, inputs, loop, known, begun):
    """Exports the best epoch and draws; writes and returns the report. For the chief."""
    folder, history = loop.folder, loop.state.history
    draw_history(history, loop.evaluator.monitor, folder)
    best = best_epoch(history, loop.evaluator)
    trained = task.build_model(inputs.info)
    load_trained(trained, folder, "best")
    model = task.export(trained, inputs.info, folder)
    report = {
        "recipe": plan.recipe.name,
        "smoke": plan.smoke,
        "seed": plan.seed,
        "settings": plan.recipe.to_dict(),
        "weights": model.count_params(),
        **held_out_metrics(history[best]),
        "epoch": best + 1,
        "epochs": len(history),
        "last_epoch": held_out_metrics(history[-1]),
        **known,
        "versions": versions(),
    }
    report |= task.finish(Finished(plan, folder, trained, model, inputs))
    report["seconds"] = round(time.monotonic() - begun, 1)
    write_json(folder / REPORT, report)
    return report
