"""The training loop: steps, evaluations and checkpoints, from any step on."""

import contextlib
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.distribute.collectives import anyone, from_chief, same_everywhere
from training.distribute.replicas import workers_of
from training.engine import checkpoint
from training.engine.logs import Progress, TensorBoard, write_csv
from training.engine.signals import Stopped
from training.engine.steps import evaluation_step, image_losses, training_step
from training.evaluators.classification import evaluate

LAST, BEST = Path("checkpoints", "last.npz"), Path("checkpoints", "best.weights.h5")


class NotFinite(RuntimeError):
    """The loss is no number any more."""


AGREE_EVERY = 10  # steps between the workers' asking each other whether to stop


@dataclasses.dataclass
class Parts:
    """What is trained, made in the scope of `strategy`.

    Attributes:
        strategy: a `tf.distribute.Strategy`.
        model: a `keras.Model`, images to probabilities.
        optimizer: a built Keras optimizer.
        schedule: a function from a step to the learning rate.
        average: the moving average of the trainable variables, or an empty list.
    """

    strategy: Any
    model: Any
    optimizer: Any
    schedule: Any
    average: list = dataclasses.field(default_factory=list)

    def variables(self):
        """All that a step changes, by group: what a checkpoint holds."""
        return {
            "model": self.model.variables,  # with the seeds of dropout and stochastic depth
            "optimizer": self.optimizer.variables,
            "average": self.average,
        }

    @contextlib.contextmanager
    def averaged(self):
        """Within the block the model has the averaged weights, if there are any."""
        own = [np.array(v.value) for v in self.model.trainable_variables] if self.average else []
        try:
            for variable, mean in zip(self.model.trainable_variables, self.average, strict=False):
                variable.assign(mean)
            yield self.model
        finally:
            for variable, value in zip(self.model.trainable_variables, own, strict=False):
                variable.assign(value)


def averages(model):
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


@dataclasses.dataclass
class Position:
    """Where a training is; a checkpoint holds it.

    Attributes:
        step: steps done.
        sums: of the epoch under way: losses, right answers, images.
        history: the figures of the epochs that are evaluated, dicts.
    """

    step: int = 0
    sums: list = dataclasses.field(default_factory=lambda: [0.0, 0.0, 0.0])
    history: list = dataclasses.field(default_factory=list)


def train(recipe, parts, batches, validation, folder, *, steps_per_epoch, figure="accuracy",
          save_every=0, jit_compile=False, stop=None):  # fmt: skip
    """Trains from where the checkpoint in `folder` is, or from the start, to the end.

    Keeps in `folder`: `checkpoints/last.npz`, the whole state, after each epoch and each
    `save_every` steps; `checkpoints/best.weights.h5`, the weights (averaged ones, if there are
    any) of the epoch whose validation was best; `log.csv` and `tensorboard/`. Of several workers
    only the chief reads and writes it.

    Args:
        recipe: a `training.recipes.schema.Recipe`.
        parts: `Parts`.
        batches: a function from a step to an iterable of the batches from there on, see
            `training.distribute.replicas.spread`.
        validation: an iterable of batches, gone through after every epoch.
        folder: the run's folder.
        steps_per_epoch: batches an epoch.
        figure: what the best epoch is best in, such as "accuracy" or "auc".
        save_every: steps between checkpoints within an epoch, 0 for none.
        jit_compile: whether XLA compiles the steps.
        stop: optional `StopRequest`.

    Returns:
        `(history, images_per_second)`: a list with a dict an epoch, and the speed of this process.

    Raises:
        Stopped: it was asked to stop; the state is saved.
        WriteError: a file cannot be written; the last checkpoint is intact.
        NotFinite: the loss became infinite or no number; the last checkpoint is from before.
        ValueError: the checkpoint in `folder` does not fit.

    Example:

    >>> train(recipe, parts, batches, validation, "runs/mine", steps_per_epoch=100)
    """
    folder, strategy = Path(folder), parts.strategy
    total, several = recipe.epochs * steps_per_epoch, workers_of(strategy) > 1
    board: Any = None

    def begin():
        """What the chief does first; the position in plain data."""
        nonlocal board
        position = Position()
        try:
            (folder / LAST.parent).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise checkpoint.WriteError(
                f"{folder / LAST.parent} cannot be made: {error.strerror}."
            ) from error
        checkpoint.remove_leftovers(folder)
        checkpoint.remove_leftovers(folder / LAST.parent)
        if (folder / LAST).exists():
            position = Position(**checkpoint.restore(folder / LAST, parts.variables()))
        write_csv(folder / "log.csv", position.history)
        board = TensorBoard(folder / "tensorboard", position.history)
        return dataclasses.asdict(position)

    position = Position(**from_chief(strategy, begin, ValueError, checkpoint.WriteError))
    same_everywhere(strategy, [v for group in parts.variables().values() for v in group])
    if position.step:
        print(f"resumed at step {position.step:,} of {total:,}")
    step_function = training_step(
        parts.strategy, parts.model, parts.optimizer,
        image_losses(recipe.multi_label, recipe.label_smoothing),
        batch_size=recipe.batch_size, accumulation=recipe.accumulation,
        clip_norm=recipe.clip_norm, average=parts.average, ema=recipe.ema,
        multi_label=recipe.multi_label, jit_compile=jit_compile,
    )  # fmt: skip
    evaluation = evaluation_step(
        parts.strategy, parts.model, image_losses(recipe.multi_label),
        multi_label=recipe.multi_label,
    )  # fmt: skip
    progress = Progress(steps_per_epoch, recipe.epochs, recipe.batch_size, position.step)

    sums = tf.constant(position.sums, tf.float64)

    def save():
        position.sums = [float(x) for x in sums]  # waits for the device
        if not all(map(math.isfinite, position.sums)):
            raise NotFinite(
                f"the loss is not finite any more by step {position.step:,}; {folder / LAST}, if "
                "there, is from before; a lower learning_rate, clip_norm=1 or bfloat16 may help."
            )
        from_chief(
            strategy,
            lambda: checkpoint.save(folder / LAST, parts.variables(), dataclasses.asdict(position)),
            checkpoint.WriteError,
        )

    def check_stop(saved=True):
        """Ends the run if any worker was asked to."""
        if several and position.step % AGREE_EVERY:  # the workers ask each other at times only
            return
        if anyone(strategy, stop is not None and stop.requested):
            if not saved:
                save()
            by = (stop.requested if stop is not None else "") or "another worker"
            raise Stopped(f"stopped by {by} at step {position.step:,} of {total:,}")

    def log(row):
        write_csv(folder / "log.csv", position.history)
        board.add(row)

    def end_epoch():
        """Evaluates and logs; what is done here is done again if it is interrupted."""
        nonlocal sums
        loss, right, count = position.sums
        epoch = len(position.history)
        rate = float(parts.schedule(position.step - 1))
        row = {"epoch": epoch, "loss": loss / count, "accuracy": right / count}
        with parts.averaged() as model:
            figures = evaluate(
                evaluation,
                validation,
                multi_label=recipe.multi_label,
                each_batch=None if several else check_stop,
            )
            del figures["images"]  # the same after every epoch
            row |= {f"val_{name}": value for name, value in figures.items()}
            row["learning_rate"] = rate
            earlier = [past[f"val_{figure}"] for past in position.history]
            if not earlier or figures[figure] > max(earlier):
                from_chief(
                    strategy, lambda: save_weights(model, folder / BEST), checkpoint.WriteError
                )
        position.history.append(row)
        sums = tf.zeros(3, tf.float64)
        save()
        from_chief(strategy, lambda: log(row), checkpoint.WriteError)
        progress.epoch_ended(row, position.step)

    iterator, saved = None, True
    try:
        while True:
            due = position.step // steps_per_epoch > len(position.history)
            if due:
                end_epoch()
            if position.step >= total:
                return position.history, progress.images_per_second()
            check_stop(saved)
            if iterator is None:
                iterator = iter(batches(position.step))
            begun = time.monotonic()
            sums += tf.cast(step_function(*next(iterator)), tf.float64)
            position.step += 1
            saved = position.step % steps_per_epoch == 0
            saved |= bool(save_every and position.step % save_every == 0)
            saved |= not several and stop is not None and bool(stop.requested)
            if saved:
                save()
            progress.stepped(position.step, time.monotonic() - begun)
    finally:
        if board is not None:
            board.close()


def save_weights(model, path):
    """Writes the weights as `.weights.h5`, whole or not at all.

    Raises:
        WriteError: it cannot be written.
    """
    path = Path(path)
    with checkpoint.replacing(path) as aside:
        try:
            model.save_weights(aside)
        except RuntimeError as error:  # h5py's, where a file cannot be closed
            raise OSError(str(error).splitlines()[0]) from error


def save_model(model, path):
    """Writes `model` as a `.keras` file, whole or not at all; it loads with `keras_regionvit`.

    Raises:
        WriteError: it cannot be written.

    Example:

    >>> save_model(model, "runs/first/model.keras")
    """
    with checkpoint.replacing(Path(path)) as aside:
        model.save(aside)
