"""The state of a training: all that a step changes, and all that a checkpoint holds."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from training.engine import checkpoint
from training.optimizers import adamw, sgd
from training.schedules import WarmupCosine, WarmupPoly, WarmupSteps

_MOST_STEPS = 2**53  # from here on floats miss some whole numbers


@dataclasses.dataclass
class TrainState:
    """What is trained, made in the scope of `strategy`, and how far it has come.

    Attributes:
        strategy: a `tf.distribute.Strategy`.
        model: a built `keras.Model`.
        optimizer: a built Keras optimizer.
        schedule: a function from a step to the learning rate.
        average: the moving average of the trainable variables, or an empty list.
        step: steps done.
        sums: of the epoch so far, float64 scalars by name; see `training.engine.steps`.
        history: a dict of values for each epoch that is evaluated.
    """

    strategy: Any
    model: Any
    optimizer: Any
    schedule: Callable
    average: list = dataclasses.field(default_factory=list)
    step: int = 0
    sums: dict = dataclasses.field(default_factory=dict)
    history: list = dataclasses.field(default_factory=list)

    def variables(self):
        """All variables that a step changes, by group."""
        return {
            "model": self.model.variables,  # with the seeds of dropout and stochastic depth
            "optimizer": self.optimizer.variables,
            "average": self.average,
        }

    def position(self):
        """How far the training has come, as plain data; waits for the device."""
        sums = {name: float(value) for name, value in self.sums.items()}
        return {"step": self.step, "sums": sums, "history": self.history}

    def move_to(self, position):
        """Takes over what `position` gave."""
        self.step, self.sums = position["step"], dict(position["sums"])
        self.history = list(position["history"])

    def save(self, path):
        """Writes the checkpoint.

        Raises:
            WriteError: it cannot be written; a file that was there is intact.
        """
        checkpoint.save(path, self.variables(), self.position())

    def restore(self, path):
        """Reads a checkpoint, all of it or nothing.

        Raises:
            ValueError: the file is damaged or of another model, optimizer or version.
        """
        position = checkpoint.read_position(path)
        if isinstance(position.get("sums"), list):
            raise ValueError(
                f"{path} was written by version 0.1.0 before its runs had tasks; finish the run "
                "with that code, or begin a new one with --weights and its model.keras."
            )
        if not _is_position(position):
            raise ValueError(f"{path} is damaged: how far its training has come makes no sense.")
        checkpoint.restore(path, self.variables())
        self.move_to(position)

    @contextlib.contextmanager
    def averaged(self):
        """Within the block the model has the averaged weights, if there are any."""
        trained = self.model.trainable_variables
        own = [np.array(v.value) for v in trained] if self.average else []
        try:
            for variable, mean in zip(trained, self.average, strict=False):
                variable.assign(mean)
            yield self.model
        finally:
            for variable, value in zip(trained, own, strict=False):
                variable.assign(value)


def _is_position(position):
    """Whether it is what `TrainState.position` gives."""
    step, sums, history = (position.get(name) for name in ("step", "sums", "history"))
    return (
        type(step) is int
        and 0 <= step < _MOST_STEPS
        and _are_numbers(sums)
        and all(map(math.isfinite, sums.values()))
        and isinstance(history, list)
        and all(map(_are_numbers, history))
    )


def _are_numbers(values):
    """Whether it is a dict of numbers that floats can hold."""
    return isinstance(values, dict) and all(
        type(value) is float or (type(value) is int and abs(value) < _MOST_STEPS)
        for value in values.values()
    )


def make_train_state(task, info, steps_per_epoch, strategy):
    """Everything that is trained, in the strategy's scope.

    Args:
        task: a `training.tasks.task.Task`.
        info: of the source.
        steps_per_epoch: batches an epoch.
        strategy: a `tf.distribute.Strategy`.

    Returns:
        A `TrainState` at step 0.

    Raises:
        ValueError: the weights to start from cannot be read or do not fit.

    Example:

    >>> state = make_train_state(task, source.info, 100, tf.distribute.get_strategy())
    """
    recipe = task.recipe
    with strategy.scope():
        model = task.build_model(info)
        task.load_start(model)
        schedule = make_schedule(recipe, steps_per_epoch)
        optimizer = make_optimizer(recipe, model, schedule)
        optimizer.build(model.trainable_variables)
        average = make_average(model) if recipe.optimizer.ema else []
    return TrainState(strategy, model, optimizer, schedule, average)


def make_schedule(recipe, steps_per_epoch):
    """The learning rate of a recipe by steps, a `training.schedules.Warmup`.

    Raises:
        ValueError: the warm-up is as long as the training.
    """
    schedule = recipe.schedule
    steps = schedule.epochs * steps_per_epoch
    arguments = {
        "peak_learning_rate": recipe.peak_learning_rate,
        "steps": steps,
        "warmup_steps": schedule.warmup_steps or round(schedule.warmup_epochs * steps_per_epoch),
        "warmup_learning_rate": schedule.warmup_learning_rate,
        "every": steps_per_epoch if schedule.every == "epoch" else 1,
    }
    if schedule.curve == "steps":
        milestones = [round(share * steps) for share in schedule.milestones]
        return WarmupSteps(milestones, **arguments)
    arguments["min_learning_rate"] = schedule.min_learning_rate
    if schedule.curve == "poly":
        return WarmupPoly(schedule.power, **arguments)
    return WarmupCosine(**arguments)


def make_optimizer(recipe, model, schedule):
    """The optimizer of a recipe, under a `LossScaleOptimizer` for float16.

    Clipping and averaging are the step's.
    """
    own = recipe.optimizer
    if own.name == "adamw":
        optimizer = adamw(model, schedule, own.weight_decay, own.decay)
    else:
        optimizer = sgd(model, schedule, own.weight_decay, own.momentum, decay=own.decay)
    if recipe.compute.precision == "float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def make_average(model):
    """Variables that start as copies of the trainable ones; made in the strategy's scope."""
    return [
        keras.Variable(
            np.array(v.value),
            dtype=v.dtype,
            trainable=False,
            aggregation="none",  # each replica has its own copy, and all agree
            name="average",
        )
        for v in model.trainable_variables
    ]
