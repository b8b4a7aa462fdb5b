"""The training loop: `model.fit` with what a run leaves behind, and its last figures."""

import os
import sys
import time
from pathlib import Path

import keras


def fit(model, batches, validation, *, epochs, steps_per_epoch, folder):
    """Trains a compiled model and keeps a record in `folder`.

    Writes `log.csv` (one line an epoch), `tensorboard/` and, after every epoch, `model.keras`,
    so that an interrupted run leaves the model of its last whole epoch. Nothing is chosen by
    the validation figures.

    Args:
        model: a compiled `keras.Model`.
        batches: a `tf.data.Dataset` with the batches of all epochs in order.
        validation: a `tf.data.Dataset`, gone through after every epoch.
        epochs: number of epochs.
        steps_per_epoch: batches an epoch.
        folder: an existing folder.

    Returns:
        `(history, images_per_second)`: a dict of lists with one number an epoch, and the speed
        of training after the first epoch, which also builds the graph.

    Example:

    >>> history, speed = fit(model, batches, validation, epochs=3, steps_per_epoch=100,
    ...                      folder=folder)
    """
    folder = Path(folder)
    progress = Progress(steps_per_epoch * int(batches.element_spec[0].shape[0]))
    record = model.fit(
        batches,
        validation_data=validation,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        shuffle=False,  # the batches come shuffled
        verbose=1 if sys.stdout.isatty() else 0,
        callbacks=[
            progress,
            keras.callbacks.CSVLogger(folder / "log.csv"),
            keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
            SaveEveryEpoch(folder / "model.keras"),
        ],
    )
    return record.history, progress.images_per_second()


def save_model(model, path):
    """Writes `model` as a `.keras` file without its optimizer, whole or not at all.

    The file loads with `import keras_regionvit` alone: what only training knows, such as
    the schedule, is not in it.

    Args:
        model: a functional `keras.Model`.
        path: the file, ending in `.keras`; replaced if it exists.

    Example:

    >>> save_model(model, "runs/first/model.keras")
    """
    path = Path(path)
    aside = path.with_name(f".{path.stem}.{os.getpid()}.keras")
    try:
        without_optimizer(model).save(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def without_optimizer(model):
    """A functional model of the same layers and weights that is not compiled."""
    return keras.Model(model.input, model.output, name=model.name)


class SaveEveryEpoch(keras.callbacks.Callback):
    """Keeps the model of the last whole epoch at `path`."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        """Replaces the file."""
        save_model(self.model, self.path)


class Progress(keras.callbacks.Callback):
    """Prints one line an epoch: figures, images a second, time left.

    Args:
        images_per_epoch: how many images an epoch trains on.
    """

    def __init__(self, images_per_epoch):
        super().__init__()
        self.images_per_epoch = images_per_epoch
        self.training_seconds, self.epoch_ends = [], []

    def on_train_begin(self, logs=None):
        """Starts the clock."""
        self.begun = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the epoch's clock."""
        self.epoch_begun = self.trained = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Moves the end of the epoch's training on; validation comes after the last batch."""
        self.trained = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Prints the line."""
        self.training_seconds.append(self.trained - self.epoch_begun)
        self.epoch_ends.append(time.monotonic())
        epochs, done = self.params["epochs"], len(self.epoch_ends)
        first, last = self.epoch_ends[0], self.epoch_ends[-1]
        each = (last - first) / (done - 1) if done > 1 else last - self.begun
        figures = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        speed = self.images_per_epoch / self.training_seconds[-1]
        left = duration(each * (epochs - epoch - 1))
        width = len(str(epochs))
        print(
            f"epoch {epoch + 1:{width}}/{epochs}  {figures}  {speed:,.0f} images/s  {left} left",
            flush=True,
        )

    def images_per_second(self):
        """Speed of training; the first epoch, which builds the graph, counts only if alone."""
        seconds = self.training_seconds[1:] or self.training_seconds
        return self.images_per_epoch * len(seconds) / sum(seconds)


def duration(seconds):
    """`seconds` as people say it.

    >>> duration(125)
    '2 min 5 s'
    """
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
