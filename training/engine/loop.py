"""The training loop: steps, evaluations and checkpoints, from any step on."""

import math
import time
from pathlib import Path

import tensorflow as tf

from keras_regionvit.files import WriteError, remove_leftovers, replacing
from training.distribute.collectives import anyone, from_chief, same_everywhere
from training.distribute.replicas import workers_of
from training.engine.logs import TensorBoard, write_csv
from training.engine.progress import Progress
from training.engine.signals import Stopped
from training.engine.steps import NORMALISER, evaluate, evaluation_step, training_step

LAST, BEST = Path("checkpoints", "last.npz"), Path("checkpoints", "best.weights.h5")
AGREE_EVERY = 10  # steps between the workers' asking each other whether to stop


class NotFinite(RuntimeError):
    """The loss is not finite."""


class Loop:
    """Trains from where the checkpoint in a folder is, or from the start, to the end.

    Keeps in `folder`: `checkpoints/last.npz`, the whole state, after each epoch and each
    `save_every` steps; `checkpoints/best.weights.h5`, the weights (averaged ones, if there are
    any) of the epoch whose evaluation was best; `log.csv` and `tensorboard/`. Of several workers
    only the chief reads and writes it.

    Args:
        task: a `training.tasks.task.Task`.
        state: a `training.engine.state.TrainState`.
        info: of the source.
        folder: the run's folder.
        steps_per_epoch: batches an epoch.
        save_every: steps between checkpoints within an epoch, 0 for none.
        jit_compile: whether XLA compiles the steps.
        stop: optional `training.engine.signals.StopRequest`.

    Example:

    >>> loop = Loop(task, state, source.info, "runs/mine", steps_per_epoch=100)
    >>> loop.train(batches, validation)
    """

    def __init__(
        self,
        task,
        state,
        info,
        folder,
        *,
        steps_per_epoch,
        save_every=0,
        jit_compile=False,
        stop=None,
    ):
        self.recipe, self.state, self.folder = task.recipe, state, Path(folder)
        self.steps_per_epoch, self.save_every, self.stop = steps_per_epoch, save_every, stop
        self.total = self.recipe.schedule.epochs * steps_per_epoch
        self.strategy = state.strategy
        self.several = workers_of(self.strategy) > 1
        self.saved = True
        self.board: TensorBoard | None = None
        optimizer = self.recipe.optimizer
        self.training_step = training_step(
            state.strategy,
            state.model,
            state.optimizer,
            task.loss,
            task.metrics,
            accumulation=optimizer.accumulation,
            clip_norm=optimizer.clip_norm,
            average=state.average,
            ema=optimizer.ema,
            jit_compile=jit_compile,
        )
        self.evaluator = task.evaluator(info)
        self.evaluation_step = evaluation_step(state.strategy, state.model, self.evaluator)
        self.unit = task.unit

    def train(self, batches, validation):
        """Trains to the end.

        Args:
            batches: a function from a step to an iterable of the batches from there on, see
                `training.distribute.replicas.distribute_dataset`.
            validation: an iterable of batches, gone through after every epoch.

        Returns:
            The speed of this process, examples a second.

        Raises:
            Stopped: it was asked to stop; the state is saved.
            WriteError: a file cannot be written; the last checkpoint is intact.
            NotFinite: the loss became infinite or no number; the last checkpoint is from before.
            ValueError: the checkpoint in the folder does not fit.
        """
        self.begin()
        iterator = None
        try:
            while True:
                if self.state.step // self.steps_per_epoch > len(self.state.history):
                    self.end_epoch(validation)
                if self.state.step >= self.total:
                    return self.progress.speed()
                self.check_stop()
                if iterator is None:
                    iterator = iter(batches(self.state.step))
                self.take_step(iterator)
                if self.saved:
                    self.save()
        finally:
            self.progress.close()
            if self.board is not None:
                self.board.close()

    def begin(self):
        """Reads the checkpoint and opens the logs, in the chief; all start from its state."""
        state = self.state
        state.move_to(from_chief(self.strategy, self._begin, ValueError, WriteError))
        same_everywhere(self.strategy, [v for group in state.variables().values() for v in group])
        if state.step:
            beyond = state.step > self.total  # where it is now to end earlier
            print(f"resumed at step {state.step:,}" + f" of {self.total:,}" * (not beyond))
        self.progress = Progress(
            self.steps_per_epoch,
            self.recipe.schedule.epochs,
            self.recipe.data.batch_size,
            self.unit,
            min(state.step, self.total),
        )

    def _begin(self):
        checkpoints = self.folder / LAST.parent
        try:
            checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{checkpoints} cannot be made: {error.strerror}.") from error
        for folder in (self.folder, checkpoints):
            remove_leftovers(folder)
        if (self.folder / LAST).exists():
            self.state.restore(self.folder / LAST)
        write_csv(self.folder / "log.csv", self.state.history)
        self.board = TensorBoard(self.folder / "tensorboard", self.state.history)
        return self.state.position()

    def take_step(self, iterator):
        """One step; `saved` says whether its state is to be saved."""
        state, begun = self.state, time.monotonic()
        for name, value in self.training_step(*next(iterator)).items():
            state.sums[name] = state.sums.get(name, 0.0) + tf.cast(value, tf.float64)
        state.step += 1
        self.saved = state.step % self.steps_per_epoch == 0
        self.saved |= bool(self.save_every and state.step % self.save_every == 0)
        self.saved |= not self.several and self.stop is not None and bool(self.stop.requested)
        self.progress.stepped(state.step, time.monotonic() - begun)

    def save(self):
        """Writes the checkpoint, unless the loss is not finite."""
        state, path = self.state, self.folder / LAST
        state.move_to(state.position())  # waits for the device
        if not all(map(math.isfinite, state.sums.values())):
            raise NotFinite(
                f"the loss is not finite any more by step {state.step:,}; {path}, if there, is "
                "from before; a lower optimizer.learning_rate, optimizer.clip_norm=1 or bfloat16 "
                "may help."
            )
        from_chief(self.strategy, lambda: state.save(path), WriteError)

    def check_stop(self):
        """Ends the run if any worker was asked to; workers ask each other at times only."""
        state, stop = self.state, self.stop
        if self.several and state.step % AGREE_EVERY:
            return
        if anyone(self.strategy, stop is not None and stop.requested):
            if not self.saved:
                self.save()
            by = (stop.requested if stop is not None else "") or "another worker"
            raise Stopped(f"stopped by {by} at step {state.step:,} of {self.total:,}")

    def end_epoch(self, validation):
        """Evaluates and logs; what is done here is done again if it is interrupted."""
        state = self.state
        row = {"epoch": next_epoch(state.history), **self.averages()}
        with state.averaged() as model:
            metrics = evaluate(
                self.evaluation_step,
                self.evaluator,
                validation,
                each_batch=None if self.several else self.check_stop,
            )
            row |= {f"val_{name}": value for name, value in metrics.items()}
            row["learning_rate"] = float(state.schedule(state.step - 1))
            monitor = self.evaluator.monitor
            earlier = [past[f"val_{monitor}"] for past in state.history]
            if self.evaluator.improves(metrics[monitor], earlier):
                best = self.folder / BEST
                from_chief(self.strategy, lambda: save_weights(model, best), WriteError)
        state.history.append(row)
        state.sums = {}
        self.save()
        from_chief(self.strategy, lambda: self._log(row), WriteError)
        self.progress.epoch_ended(row, len(state.history))

    def averages(self):
        """The sums of the epoch, divided."""
        sums = dict(self.state.sums)
        count = sums.pop(NORMALISER)
        return {name: value / count for name, value in sums.items()}

    def _log(self, row):
        write_csv(self.folder / "log.csv", self.state.history)
        if self.board is not None:
            self.board.add(row)


def next_epoch(history):
    """The number of the epoch to come: from 1 on, or as the run began to count.

    Runs of version 0.1.0 count from 0 and go on so: a log has each number once, without a gap.
    """
    return history[-1]["epoch"] + 1 if history else 1


def best_epoch(history, evaluator):
    """Which epoch `checkpoints/best.weights.h5` is of.

    Args:
        history: a list of dicts, the values of each epoch.
        evaluator: a `training.evaluators.evaluator.Evaluator`.

    Returns:
        Its place in `history`, an int.

    Example:

    >>> best_epoch([{"val_error": 0.5}, {"val_error": 0.3}, {"val_error": 0.4}], evaluator)
    1
    """
    values = [row[f"val_{evaluator.monitor}"] for row in history]
    better = [i for i in range(len(values)) if evaluator.improves(values[i], values[:i])]
    return better[-1]


def save_weights(model, path):
    """Writes the weights as `.weights.h5`, whole or not at all.

    Raises:
        WriteError: it cannot be written.
    """
    with replacing(path) as aside:
        try:
            model.save_weights(aside)
        except RuntimeError as error:  # h5py's, where a file cannot be closed
            raise OSError(str(error).splitlines()[0]) from error
