"""What a run writes down of its epochs: log.csv and TensorBoard."""

import csv
import shutil
from pathlib import Path

import tensorflow as tf

from keras_regionvit.files import WriteError, replacing


def write_csv(path, history):
    """Writes the values of all epochs, a row an epoch.

    The whole file is written each time, from the history that a checkpoint holds: so a run that
    was killed and resumed has each row once.

    Args:
        path: the file; replaced if it exists.
        history: a list of dicts with the keys of the first; a value that a later one lacks is
            left empty.

    Raises:
        WriteError: it cannot be written.

    Example:

    >>> write_csv("log.csv", [{"epoch": 1, "loss": 2.1}, {"epoch": 2, "loss": 1.8}])
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
        folder: the folder, made again.
        history: a list of dicts, the epochs so far.

    Raises:
        WriteError: the folder cannot be written to.

    Example:

    >>> TensorBoard("runs/mine/tensorboard", history=[]).add({"epoch": 1, "loss": 2.1})
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
        """Adds the values of an epoch, a dict."""
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
