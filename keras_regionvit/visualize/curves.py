"""Curves over the epochs of a training."""

import csv
import os

import numpy as np

from keras_regionvit.visualize.figure import new_figure, write

# A pair that stays apart for colour-blind readers and in grey print.
_TRAIN_COLOR, _VALIDATION_COLOR = "#0072B2", "#D55E00"


def plot_learning_curve(history, path=None, metric=None):
    """Loss and a metric over the epochs, training and validation.

    Args:
        history: what `keras.callbacks.History.history` holds, a dict of lists with one number
            an epoch, or the path of a file that `keras.callbacks.CSVLogger` wrote. "loss" is
            needed; validation is under names with "val_" before.
        path: optional path of a `.png` file to write.
        metric: name of the metric, with or without "val_"; the first "...accuracy" if `None`.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: `history` has no loss or not the metric, its lists differ in length, or
            `path` is no `.png` in a folder that exists.
        WriteError: the file cannot be written.
        ImportError: matplotlib is missing.

    Example:

    >>> figure = plot_learning_curve(model.fit(x, y, epochs=3).history, "curve.png")
    """
    if isinstance(history, (str, os.PathLike)):
        history = _read_csv(history)
    columns = {k: np.atleast_1d(np.asarray(v, "float64")) for k, v in history.items()}
    panels = _panels(columns, metric)
    figure = new_figure(5.2 * len(panels), 3.8)
    for place, (key, title) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        _draw(axes, columns, key, "training", _TRAIN_COLOR, "o")
        _draw(axes, columns, f"val_{key}", "validation", _VALIDATION_COLOR, "s")
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return write(figure, path)


def _panels(columns, metric):
    """`(name, title)` of what is drawn, after a check of the lengths."""
    epochs = len(columns.get("loss", ()))
    if not epochs:
        raise ValueError(
            f"`history` must have at least one epoch of 'loss'. Received: {sorted(columns)}"
        )
    names = {key.removeprefix("val_") for key in columns}
    accuracies = [k for k in columns if k.endswith("accuracy") and not k.startswith("val_")]
    panels = [("loss", "Loss")]
    if metric is not None:
        name = metric.removeprefix("val_")
        if name not in names:
            raise ValueError(
                f"`metric` must be one of {', '.join(sorted(names))}. Received: {metric!r}"
            )
        panels.append((name, (name[:1].upper() + name[1:]).replace("_", " ")))
    elif accuracies:
        panels.append((accuracies[0], "Accuracy"))
    for name in (prefix + key for key, _ in panels for prefix in ("", "val_")):
        if len(columns.get(name, columns["loss"])) != epochs:
            raise ValueError(
                f"`history` must have one number an epoch; '{name}' has {len(columns[name])}, "
                f"'loss' has {epochs}."
            )
    return panels


def _draw(axes, columns, name, label, color, marker):
    """One curve, if there is such a column."""
    if name not in columns:
        return
    values = columns[name]
    epochs = np.arange(1, len(values) + 1)
    known = np.isfinite(values)  # validation may be rarer than training
    last = f"{label}, last {values[known][-1]:.3f}" if known.any() else label
    axes.plot(
        epochs[known],
        values[known],
        color=color,
        label=last,
        marker=marker,
        markersize=3.5,
        linewidth=1.6,
    )


def _read_csv(path):
    """The columns of a CSVLogger file; what is not a number becomes NaN."""
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ValueError(
            f"`history` must be a dict or the path of a CSVLogger file. Received: "
            f"{os.fspath(path)!r} ({error.strerror})"
        ) from None
    return {key: [_number(row[key]) for row in rows] for key in (rows[0] if rows else ())}


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")
