"""The training loop: steps, evaluations and checkpoints, from any step on."""

import contextlib
import dataclasses
import math
import signal
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training import checkpoint
from training.evaluation import evaluate
from training.logs import Progress, TensorBoard, write_csv
from training.steps import evaluation_step, image_losses, training_step

LAST, BEST = Path("checkpoints", "last.npz"), Path("checkpoints", "best.weights.h5")


class Stopped(Exception):
    """The run was asked to stop; its state is saved."""


class NotFinite(RuntimeError):
    """The loss is no number any more."""


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
            aggregation="only_first_replica",  # the replicas agree on it
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
    any) of the epoch whose validation was best; `log.csv` and `tensorboard/`.

    Args:
        recipe: a `training.recipe.Recipe`.
        parts: `Parts`.
        batches: a function from a step to a `tf.data.Dataset` of the batches from there on.
        validation: a `tf.data.Dataset`, gone through after every epoch.
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
    folder = Path(folder)
    position, total = Position(), recipe.epochs * steps_per_epoch
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
        print(f"resumed at step {position.step:,} of {total:,}")
    write_csv(folder / "log.csv", position.history)
    board = TensorBoard(folder / "tensorboard", position.history)
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

    def save():
        if not all(map(math.isfinite, position.sums)):
            raise NotFinite(
                f"the loss is not finite any more by step {position.step:,}; {folder / LAST}, if "
                "there, is from before; a lower learning_rate, clip_norm=1 or bfloat16 may help."
            )
        checkpoint.save(folder / LAST, parts.variables(), dataclasses.asdict(position))

    def check_stop():
        if stop is not None and stop.requested:
            raise Stopped(f"stopped by {stop.requested} at step {position.step:,} of {total:,}")

    def end_epoch():
        """Evaluates and logs; what is done here is done again if it is interrupted."""
        loss, right, count = position.sums
        epoch = len(position.history)
        rate = float(parts.schedule(position.step - 1))
        row = {"epoch": epoch, "loss": loss / count, "accuracy": right / count}
        with parts.averaged() as model:
            figures = evaluate(
                evaluation, validation, multi_label=recipe.multi_label, each_batch=check_stop
            )
            row |= {f"val_{name}": value for name, value in figures.items()}
            row["learning_rate"] = rate
            earlier = [past[f"val_{figure}"] for past in position.history]
            if not earlier or figures[figure] > max(earlier):
                save_weights(model, folder / BEST)
        position.history.append(row)
        position.sums = [0.0, 0.0, 0.0]
        save()
        write_csv(folder / "log.csv", position.history)
        board.add(row)
        progress.epoch_ended(row, position.step)

    iterator, sums = None, tf.constant(position.sums, tf.float64)
    try:
        while True:
            due = position.step // steps_per_epoch > len(position.history)
            if due:
                end_epoch()
                sums = tf.zeros(3, tf.float64)
            if position.step >= total:
                return position.history, progress.images_per_second()
            check_stop()
            if iterator is None:
                iterator = iter(batches(position.step))
            begun = time.monotonic()
            sums += tf.cast(step_function(*next(iterator)), tf.float64)
            position.step += 1
            epoch_done = position.step % steps_per_epoch == 0
            save_due = save_every and position.step % save_every == 0
            if epoch_done or save_due or (stop is not None and stop.requested):
                position.sums = [float(x) for x in sums]  # waits for the device
                save()
            progress.stepped(position.step, time.monotonic() - begun)
    finally:
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


class StopRequest:
    """Notes SIGTERM and SIGINT, for the loop to end after a step; a second SIGINT interrupts.

    Attributes:
        requested: the name of the signal, or "".

    Example:

    >>> with StopRequest() as stop:
    ...     train(recipe, parts, batches, validation, folder, steps_per_epoch=9, stop=stop)
    """

    def __init__(self):
        self.requested, self.before = "", {}

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, _frame):
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name
