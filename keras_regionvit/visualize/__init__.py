"""Pictures of a training run: learning curve, confusion matrix, predictions on images.

Figures are made without pyplot: nothing is shown by itself, nothing stays open, no display
is needed. In a notebook a returned figure displays itself. Needs matplotlib, the extra
`keras_regionvit[visualize]`, which is imported only when a picture is made.
"""

import csv
import functools
import io
import os
import tempfile

import numpy as np

# A pair that stays apart for colour-blind readers and in grey print.
TRAIN_COLOR, VALIDATION_COLOR = "#0072B2", "#D55E00"
RIGHT_COLOR, WRONG_COLOR = "#1b7837", "#b2182b"


def plot_learning_curve(history, path=None):
    """Loss and accuracy over the epochs, training and validation.

    Args:
        history: what `keras.callbacks.History.history` holds, a dict of lists with one number
            an epoch, or the path of a file that `keras.callbacks.CSVLogger` wrote. "loss" is
            needed, "val_loss" and any "...accuracy" with its "val_" are drawn if there.
        path: optional path of a `.png` file to write.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: `history` has no loss, its lists differ in length, or `path` cannot be
            written to.
        ImportError: matplotlib is missing.

    Example:

    >>> figure = plot_learning_curve(model.fit(x, y, epochs=3).history, "curve.png")
    """
    if isinstance(history, (str, os.PathLike)):
        history = _read_csv(history)
    columns = {k: np.atleast_1d(np.asarray(v, "float64")) for k, v in history.items()}
    if not len(columns.get("loss", ())):
        raise ValueError(
            f"`history` must have at least one epoch of 'loss'. Received: {sorted(columns)}"
        )
    panels = [("loss", "Loss")]
    accuracies = [k for k in columns if k.endswith("accuracy") and not k.startswith("val_")]
    if accuracies:
        panels.append((accuracies[0], "Accuracy"))

    figure = _figure(figsize=(5.2 * len(panels), 3.8))
    for place, (key, title) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        for name, label, color in (
            (key, "training", TRAIN_COLOR),
            (f"val_{key}", "validation", VALIDATION_COLOR),
        ):
            if name not in columns:
                continue
            values = columns[name]
            if len(values) != len(columns["loss"]):
                raise ValueError(
                    f"`history` must have one number an epoch; '{name}' has {len(values)}, "
                    f"'loss' has {len(columns['loss'])}."
                )
            epochs = np.arange(1, len(values) + 1)
            known = np.isfinite(values)  # validation may be rarer than training
            last = f"{label}, last {values[known][-1]:.3f}" if known.any() else label
            axes.plot(
                epochs[known],
                values[known],
                color=color,
                label=last,
                marker="o" if label == "training" else "s",
                markersize=3.5,
                linewidth=1.6,
            )
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return _write(figure, path)


def plot_confusion_matrix(labels, predictions, class_names, path=None):
    """How often each class was taken for which: counts, coloured by their share of the row.

    Args:
        labels: true classes, integers (N,) in [0, K).
        predictions: predicted classes, integers (N,) in [0, K).
        class_names: K names.
        path: optional path of a `.png` file to write.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: the lengths differ, a class is out of range, or `path` cannot be
            written to.
        ImportError: matplotlib is missing.

    Example:

    >>> plot_confusion_matrix([0, 0, 1], [0, 1, 1], ["cat", "dog"], "confusion.png")
    """
    count = len(class_names)
    labels = _class_indices("labels", labels, count)
    predictions = _class_indices("predictions", predictions, count)
    if len(labels) != len(predictions):
        raise ValueError(
            "`labels` and `predictions` must be of one length. "
            f"Received: {len(labels)} and {len(predictions)}"
        )
    counts = np.zeros((count, count), "int64")
    np.add.at(counts, (labels, predictions), 1)
    rows = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(rows, 1)

    side = max(4.0, 0.62 * count + 2.0)
    figure = _figure(figsize=(side + 0.8, side))
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(count), class_names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), class_names)
    for row, column in np.ndindex(count, count):
        if counts[row, column]:
            axes.text(
                column,
                row,
                str(counts[row, column]),
                ha="center",
                va="center",
                color="white" if shares[row, column] > 0.55 else "black",
                fontweight="bold" if row == column else "normal",
            )
    right = int(np.trace(counts))
    axes.set(
        xlabel="predicted class",
        ylabel="true class",
        title=f"{right:,} of {len(labels):,} right ({right / max(len(labels), 1):.1%})",
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    bar.outline.set_visible(False)
    return _write(figure, path)


def plot_predictions(images, probabilities, class_names, labels=None, path=None):
    """Images with what the model says of each; wrong answers have a thick red frame.

    Args:
        images: (N, H, W), (N, H, W, 1) or (N, H, W, 3): integers on 0..255 or floats on 0..1.
        probabilities: (N, K), the model's output.
        class_names: K names.
        labels: optional true classes, integers (N,) in [0, K).
        path: optional path of a `.png` file to write.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: the shapes do not fit, a pixel or a class is out of range, or `path`
            cannot be written to.
        ImportError: matplotlib is missing.

    Example:

    >>> plot_predictions(images, model.predict(images), ["cat", "dog"], path="seen.png")
    """
    images, probabilities = _pixels(images), np.asarray(probabilities)
    if probabilities.shape != (len(images), len(class_names)):
        raise ValueError(
            f"`probabilities` must have the shape ({len(images)}, {len(class_names)}) for "
            f"{len(images)} images and {len(class_names)} names. Received: {probabilities.shape}"
        )
    if labels is not None:
        labels = _class_indices("labels", labels, len(class_names))
        if len(labels) != len(images):
            raise ValueError(
                f"`labels` must have one entry for each of {len(images)} images. "
                f"Received: {len(labels)}"
            )
    predictions = probabilities.argmax(axis=1)

    columns = min(len(images), 6)
    rows = -(-len(images) // columns)
    figure = _figure(figsize=(1.9 * columns, 2.5 * rows))
    for i, (image, prediction) in enumerate(zip(images, predictions, strict=True)):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        text, color = f"{class_names[prediction]} {probabilities[i, prediction]:.0%}", "black"
        if labels is not None:
            right = prediction == labels[i]
            color = RIGHT_COLOR if right else WRONG_COLOR
            text += f"\ntrue: {class_names[labels[i]]}"
            axes.spines[:].set(color=color, linewidth=1.0 if right else 4.0)
        axes.set_title(text, fontsize=9, color=color)
    return _write(figure, path)


@functools.cache
def _figure_class():
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib, which the extra keras_regionvit[visualize] installs."
        ) from error

    class Picture(Figure):
        """A figure that notebooks display although pyplot does not know it."""

        def __init__(self, **kwargs):
            super().__init__(layout="constrained", **kwargs)
            FigureCanvasAgg(self)

        def _repr_png_(self):
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=100)
            return buffer.getvalue()

    return Picture


def _figure(**kwargs):
    return _figure_class()(**kwargs)


def _write(figure, path):
    """Writes `figure` as a PNG, whole or not at all, and returns it."""
    if path is None:
        return figure
    folder, name = os.path.split(os.fspath(path))
    if not name.lower().endswith(".png"):
        raise ValueError(f"`path` must end in .png. Received: {os.fspath(path)!r}")
    if folder and not os.path.isdir(folder):
        raise ValueError(f"`path` must lie in a folder that exists. Received: {os.fspath(path)!r}")
    handle, aside = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            figure.savefig(file, format="png", dpi=150)
        os.chmod(aside, 0o644)  # mkstemp's files are private
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
    return figure


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


def _class_indices(name, values, count):
    values = np.asarray(values)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        raise ValueError(
            f"`{name}` must be integers of the shape (N,). "
            f"Received: {values.dtype} of the shape {values.shape}"
        )
    if values.size and not (values.min() >= 0 and values.max() < count):
        raise ValueError(
            f"`{name}` must lie in [0, {count}), as there are {count} class names. "
            f"Received: {values.min()} to {values.max()}"
        )
    return values.astype("int64")


def _pixels(images):
    """Floats on 0..1, (N, H, W) or (N, H, W, 3)."""
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if len(images) == 0 or not (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)):
        raise ValueError(
            "`images` must have the shape (N, H, W), (N, H, W, 1) or (N, H, W, 3) with N > 0. "
            f"Received: {images.shape}"
        )
    top = 255 if images.dtype.kind in "iu" else 1
    if images.min() < 0 or images.max() > top:
        raise ValueError(
            "`images` must be integers on 0..255 or floats on 0..1. "
            f"Received: {images.dtype} on {images.min()}..{images.max()}"
        )
    return images.astype("float32") / top
