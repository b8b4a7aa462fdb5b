"""What a classifier takes for what: a confusion matrix, images with predictions."""

import numpy as np

from keras_regionvit.visualize.figure import new_figure, pixels, plain, write

MOST_NUMBERED = 20  # classes whose counts can be read in a confusion matrix
MOST_NAMED = 100  # classes whose names can be
_RIGHT_COLOR, _WRONG_COLOR = "#1b7837", "#b2182b"


def plot_confusion_matrix(labels, predictions, class_names, path=None):
    """How often each class was taken for which: counts, coloured by their share of the row.

    The plot of more than 20 classes has colours alone and does not grow; that of more than 100
    numbers the classes from 0 on instead of naming them.

    Args:
        labels: true classes, integers (N,) in [0, K).
        predictions: predicted classes, integers (N,) in [0, K).
        class_names: K names.
        path: optional path of a `.png` file to write.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: the lengths differ, a class is out of range, or `path` is
            no `.png` in a folder that exists.
        WriteError: the file cannot be written.
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

    side = max(4.0, 0.62 * min(count, MOST_NUMBERED) + 2.0)
    figure = new_figure(side + 0.8, side)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if count <= MOST_NUMBERED:
        _draw_counts(axes, counts, shares)
    if count <= MOST_NAMED:
        _name_classes(axes, class_names)
    right = int(np.trace(counts))
    axes.set(
        xlabel="predicted class",
        ylabel="true class",
        title=f"{right:,} of {len(labels):,} right ({right / max(len(labels), 1):.1%})",
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    bar.outline.set_visible(False)
    return write(figure, path)


def _name_classes(axes, names):
    """The names of the classes at both axes, small where there are many."""
    size = 10.0 * min(1, MOST_NUMBERED / len(names)) ** 0.4
    names = [plain(name) for name in names]
    words = {"parse_math": False, "fontsize": size}
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, **words, **turned)
    axes.set_yticks(range(len(names)), names, **words)


def _draw_counts(axes, counts, shares):
    """The numbers of a confusion matrix, but for zeros."""
    for row, column in zip(*counts.nonzero(), strict=True):
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            color="white" if shares[row, column] > 0.55 else "black",
            fontweight="bold" if row == column else "normal",
        )


def plot_predictions(images, probabilities, class_names, labels=None, path=None):
    """Images with what the model says of each; wrong answers have a thick red outline.

    Args:
        images: (N, H, W), (N, H, W, 1) or (N, H, W, 3): integers on 0..255 or floats on 0..1.
        probabilities: (N, K), the model's output.
        class_names: K names.
        labels: optional true classes, integers (N,) in [0, K).
        path: optional path of a `.png` file to write.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: the shapes do not fit, a pixel or a class is out of range, or `path` is
            no `.png` in a folder that exists.
        WriteError: the file cannot be written.
        ImportError: matplotlib is missing.

    Example:

    >>> plot_predictions(images, model.predict(images), ["cat", "dog"], path="seen.png")
    """
    images, probabilities = pixels(images), np.asarray(probabilities)
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
    figure = new_figure(1.9 * columns, 2.5 * rows)
    for i, (image, prediction) in enumerate(zip(images, predictions, strict=True)):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        name = plain(class_names[prediction])
        text, color = f"{name} {probabilities[i, prediction]:.0%}", "black"
        if labels is not None:
            right = prediction == labels[i]
            color = _RIGHT_COLOR if right else _WRONG_COLOR
            text += f"\ntrue: {plain(class_names[labels[i]])}"
            axes.spines[:].set(color=color, linewidth=1.0 if right else 4.0)
        axes.set_title(text, fontsize=9, color=color, parse_math=False)
    return write(figure, path)


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
