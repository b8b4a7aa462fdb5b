"""What a trained classifier makes of images: a table of the classes, a confusion matrix, samples.

N images, K classes.
"""

import csv
import dataclasses

import numpy as np
import tensorflow as tf

from keras_regionvit import visualize
from keras_regionvit.files import replacing
from training.data.inputs import eval_batches

SAMPLES = 12  # images that are shown
LISTED = 10  # classes that are printed where there are more than twice as many


@dataclasses.dataclass
class Answers:
    """What a classifier answered.

    Attributes:
        images: int (K,): how many images are of a class.
        answers: int (K,): how many were taken for it.
        right: int (K,): how many of these are of it.
        labels: int (N,), the class of each image; of several, the first.
        predictions: int (N,), the likeliest class of each.
        samples: a list of `(pixels, label, probabilities)`.
    """

    images: np.ndarray
    answers: np.ndarray
    right: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    samples: list


def draw(task, model, source, folder, **options):
    """Prints a table of the classes and writes it, a confusion matrix and samples.

    Images with several labels have no confusion matrix and no samples.

    Args:
        task: a `training.tasks.classification.Classification`.
        model: as its `build_model` made it.
        source: a `training.data.sources.source.Source`.
        folder: where `classes.csv`, `confusion_matrix.png` and `predictions.png` go, a `Path`.
        **options: of `training.data.inputs.eval_batches`.

    Raises:
        WriteError: a file cannot be written.

    Example:

    >>> draw(task, model, task.open_split("test"), Path("plots"))
    """
    names = source.info["class_names"]
    found = answers(task, model, source, **options)
    if not len(found.labels):
        return
    rows = table(found, names)
    write_table(folder / "classes.csv", rows)
    print(f"\n{table_in_words(rows)}")
    if source.info["multi_label"]:
        return
    visualize.plot_confusion_matrix(
        found.labels, found.predictions, names, folder / "confusion_matrix.png"
    )
    pixels, labels, probabilities = map(np.stack, zip(*found.samples, strict=True))
    visualize.plot_predictions(pixels, probabilities, names, labels, folder / "predictions.png")


def answers(task, model, source, **options):
    """The `Answers` of a model; what is kept does not grow but by two numbers an image."""
    several = task.recipe.classification.multi_label
    mean, std = (np.array(x, "float32") for x in task.statistics())
    shown = set(np.linspace(0, source.count - 1, min(SAMPLES, source.count)).astype(int).tolist())
    counts = np.zeros((3, len(source.info["class_names"])), "int64")
    labels, predictions, samples, done = [], [], [], 0
    one = task.specs(source.info)[0]
    step = tf.function(
        lambda x: model(x, training=False),
        input_signature=[tf.TensorSpec((None, *one.shape), one.dtype)],  # batches of any size
        autograph=False,
    )
    for images, rows in eval_batches(task, source, **options):
        probabilities, rows = np.asarray(step(images), "float32"), np.asarray(rows) > 0.5
        best = probabilities.argmax(axis=1)
        chosen = probabilities > 0.5 if several else np.eye(len(counts[0]), dtype=bool)[best]
        counts += np.stack([x.sum(axis=0) for x in (rows, chosen, rows & chosen)])
        labels.append(rows.argmax(axis=1))
        predictions.append(best)
        for i in range(len(best)):
            if done + i in shown:
                pixels = np.clip(np.rint(images[i] * std + mean), 0, 255).astype("uint8")
                samples.append((pixels, labels[-1][i], probabilities[i]))
        done += len(best)
    first, likeliest = (np.concatenate([[], *x]).astype(int) for x in (labels, predictions))
    return Answers(counts[0], counts[1], counts[2], first, likeliest, samples)


def table(found, names):
    """Rows of a table of the classes: name, images, recall and precision.

    Recall is the share of the images of a class that are taken for it, precision the share of the
    images taken for it that are of it; `None` where there are none.

    Example:

    >>> table(found, ["cat", "dog"])
    [('cat', 10, 0.9, 1.0), ('dog', 12, 1.0, 0.923)]
    """

    def share(part, whole):
        return float(part / whole) if whole else None

    counted = zip(names, found.images, found.answers, found.right, strict=True)
    return [
        (str(name), int(images), share(right, images), share(right, taken))
        for name, images, taken, right in counted
    ]


def write_table(path, rows):
    """Writes the table of the classes as CSV.

    Raises:
        WriteError: it cannot be written.
    """
    with (
        replacing(path) as aside,
        open(aside, "w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["class", "images", "recall", "precision"])
        writer.writerows(rows)


def table_in_words(rows):
    """Lines of text: all classes, or those with the least recall where there are many."""
    shown, heading = rows, "Each class on the held-out images:"
    if len(rows) > 2 * LISTED:
        known = [row for row in rows if row[1]]
        shown = sorted(known, key=lambda row: row[2])[:LISTED]
        heading = f"The {len(shown)} of {len(rows):,} classes with the least recall:"
    cells = [("class", "images", "recall", "precision")]
    for name, images, *shares in shown:
        name = " ".join(name.encode("utf-8", "replace").decode().split())
        cells.append((name[:32], f"{images:,}", *map(_percent, shares)))
    width = max(len(row[0]) for row in cells)
    lines = [f"  {a:{width}}  {b:>7}  {c:>7}  {d:>9}" for a, b, c, d in cells]
    return "\n".join([heading, *lines])


def _percent(share):
    return "-" if share is None else f"{share:.1%}"
