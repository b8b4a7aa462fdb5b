"""What is shown of a classifier at the end of a run: a table, a confusion matrix, samples."""

import csv

import keras
import numpy as np
import pytest

from training.data.sources.source import array_source
from training.evaluators.classification import ClassificationEvaluator
from training.recipes import catalogue
from training.tasks import open_task, results

SIZE = 4


def task_of(classes, multi_label=False):
    recipe = catalogue.smoke("imagenet1k").with_values({
        "data.image_size": SIZE, "data.mean": (0.0,) * 3, "data.std": (255.0,) * 3,
        "classification.classes": classes, "evaluate.crop_ratio": 1.0,
        "classification.multi_label": multi_label, "data.batch_size": 3,
    })  # fmt: skip
    return open_task(recipe)


def answering(brightness, classes):
    """A model, as a function, whose answer is the class of the brightness of the first pixel."""
    table = np.full((256, classes), 0.1 / classes, "float32")
    table[list(brightness), list(brightness.values())] = 0.9

    def model(images, training):
        shades = keras.ops.cast(images[:, 0, 0, 0] * 255 + 0.5, "int32")
        return keras.ops.take(table, shades, axis=0)

    return model


def source_of(names, shades, labels):
    images = np.stack([np.full((SIZE, SIZE, 3), shade, "uint8") for shade in shades])
    return array_source("shades", names, images, np.array(labels), channels=3)


def test_table_plots_and_samples(tmp_path, capsys):
    """By hand: of three bright ones one is taken for dark, all dark ones are right."""
    names = ("da$k", "bri\\ght", "never")
    source = source_of(names, [10, 20, 200, 201, 30], [0, 0, 1, 1, 1])
    model = answering({10: 0, 20: 0, 200: 1, 201: 1, 30: 0}, 3)
    task = task_of(3)
    found = results.answers(task, model, source)
    assert found.labels.tolist() == [0, 0, 1, 1, 1]
    assert found.predictions.tolist() == [0, 0, 1, 1, 0]
    assert results.table(found, names) == [
        ("da$k", 2, 1.0, pytest.approx(2 / 3)), ("bri\\ght", 3, pytest.approx(2 / 3), 1.0),
        ("never", 0, None, None),
    ]  # fmt: skip
    assert [int(pixels[0, 0, 0]) for pixels, _, _ in found.samples] == [10, 20, 200, 201, 30]
    task.draw(model, source, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "classes.csv", "confusion_matrix.png", "predictions.png"
    ]  # fmt: skip
    assert "bri\\ght        3    66.7%     100.0%" in capsys.readouterr().out
    with open(tmp_path / "classes.csv", newline="") as file:
        assert [row["recall"] for row in csv.DictReader(file)][::2] == ["1.0", ""]


def test_a_thousand_classes_are_not_all_printed(tmp_path, capsys):
    names = tuple(f"kind {i}" for i in range(1000))
    source = source_of(names, range(100), np.arange(100) * 10)
    model = answering({i: i * 10 if i % 50 else 999 for i in range(100)}, 1000)
    task_of(1000).draw(model, source, tmp_path)
    out = capsys.readouterr().out
    assert "The 10 of 1,000 classes with the least recall:" in out and len(out.splitlines()) < 20
    assert "  kind 500        1     0.0%          -" in out
    assert len((tmp_path / "classes.csv").read_text().splitlines()) == 1001
    assert (tmp_path / "confusion_matrix.png").stat().st_size < 1_000_000


def test_top_five_says_nothing_of_five_classes():
    for classes, there in ((2, False), (5, False), (6, True)):
        evaluator = task_of(classes).evaluator({"class_names": tuple(map(str, range(classes)))})
        truth = np.eye(classes, dtype="float32")
        evaluator.update(*evaluator.measure(truth, truth, np.ones(classes, "float32")))
        assert ("top5_accuracy" in evaluator.result()) == there
    assert ClassificationEvaluator().top_five


def test_of_equally_good_epochs_the_last_is_best():
    evaluator = ClassificationEvaluator()
    assert evaluator.improves(0.7, [0.5, 0.7]) and not evaluator.improves(0.6, [0.5, 0.7])
