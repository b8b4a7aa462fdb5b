"""What a run says while it goes on: a line an epoch, log.csv, TensorBoard."""

import csv
import math
import shutil
import sys
import time
from pathlib import Path

import tensorflow as tf

from training.engine.checkpoint import WriteError, replacing

LINE_EVERY = 60  # seconds between lines within an epoch, where they do not overwrite each other


def write_csv(path, history):
    """Writes the figures of all epochs, a row an epoch.

    The whole file is written each time, from the history that a checkpoint holds: so a run that
    was killed and resumed has each row once.

    Args:
        path: the file; replaced if it exists.
        history: a list of dicts with the same keys.

    Raises:
        WriteError: it cannot be written.

    Example:

    >>> write_csv("log.csv", [{"epoch": 0, "loss": 2.1}, {"epoch": 1, "loss": 1.8}])
    """
    with replacing(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        if history:
            writer = csv.DictWriter(file, list(history[0]))
            writer.writeheader()
            writer.writerows(history)


class TensorBoard:
    """Scalars for TensorBoard, training and validation apart; of each epoch once.

    Event files can only be added to. So what an earlier process wrote is replaced at the start
    by what the checkpoint knows.

    Args:
        folder: the folder, made anew.
        history: a list of dicts, the epochs so far.

    Raises:
        WriteError: the folder cannot be written to.

    Example:

    >>> TensorBoard("runs/mine/tensorboard", history=[]).add({"epoch": 0, "loss": 2.1})
    """

    def __init__(self, folder, history=()):
        self.folder = Path(folder)
        try:
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.writers = {
                name: tf.summary.create_file_writer(str(self.folder / name))
                for name in ("train", "validation")
            }
        except (OSError, tf.errors.OpError) as error:
            raise self._error(error) from error
        for row in history:
            self.add(row)

    def add(self, row):
        """Adds the figures of an epoch, a dict."""
        try:
            for key, value in row.items():
                if key == "epoch":
                    continue
                name = "validation" if key.startswith("val_") else "train"
                with self.writers[name].as_default():
                    tf.summary.scalar(f"epoch_{key.removeprefix('val_')}", value, row["epoch"])
            for writer in self.writers.values():
                writer.flush()
        except (OSError, tf.errors.OpError) as error:
            raise self._error(error) from error

    def close(self):
        """Closes the files."""
        for writer in self.writers.values():
            writer.close()

    def _error(self, error):
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        return WriteError(f"{self.folder} cannot be written: {reason}.")


class Progress:
    """Says where a training is, how fast it goes and how long it will take.

    Args:
        steps_per_epoch: steps an epoch.
        epochs: epochs in all.
        batch_size: images a step.
        step: the step that the training starts at.

    Example:

    >>> progress = Progress(steps_per_epoch=100, epochs=3, batch_size=50)
    """

    def __init__(self, steps_per_epoch, epochs, batch_size, step=0):
        self.steps_per_epoch, self.epochs, self.batch_size = steps_per_epoch, epochs, batch_size
        self.first, self.seconds, self.steps = True, 0.0, 0
        self.begun = self.said = time.monotonic()
        self.start = step

    def stepped(self, step, seconds):
        """Counts a step; from time to time a line within the epoch."""
        if self.first:  # builds the graph
            self.first = False
            return
        self.seconds, self.steps = self.seconds + seconds, self.steps + 1
        now = time.monotonic()
        if now - self.said < (0.5 if sys.stdout.isatty() else LINE_EVERY):
            return
        self.said = now
        epoch, within = divmod(step, self.steps_per_epoch)
        line = (
            f"epoch {epoch + 1}/{self.epochs}  step {within}/{self.steps_per_epoch}  "
            f"{self.images_per_second():,.0f} images/s  {self.left(step)} left"
        )
        print(f"\r{line}\033[K" if sys.stdout.isatty() else line,
              end="" if sys.stdout.isatty() else "\n", flush=True)  # fmt: skip

    def epoch_ended(self, row, step):
        """Prints the figures of an epoch, a dict."""
        width = len(str(self.epochs))
        figures = "  ".join(
            f"{name} {value:.4f}" for name, value in row.items()
            if name not in ("epoch", "learning_rate")
        )  # fmt: skip
        print(
            ("\r\033[K" if sys.stdout.isatty() else "")
            + f"epoch {row['epoch'] + 1:{width}}/{self.epochs}  {figures}  "
            f"{self.images_per_second():,.0f} images/s  {self.left(step)} left",
            flush=True,
        )
        self.said = time.monotonic()

    def images_per_second(self):
        """Speed of the training steps so far, without the first one; a float."""
        return self.batch_size * self.steps / self.seconds if self.seconds else math.nan

    def left(self, step):
        """The time until the end, evaluation included, as people say it."""
        done = step - self.start
        remaining = self.steps_per_epoch * self.epochs - step
        return duration((time.monotonic() - self.begun) / max(done, 1) * remaining)


def duration(seconds):
    """`seconds` as people say it.

    >>> duration(125)
    '2 min 5 s'
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
