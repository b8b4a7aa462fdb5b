"""Plots: valid files, and the numbers that they were given."""

import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_regionvit import visualize
from keras_regionvit.files import WriteError
from keras_regionvit.visualize import figure as figures

NAMES = ["cat", "dog", "emu"]
HISTORY = {
    "loss": [2.0, 1.5, 1.25],
    "accuracy": [0.25, 0.5, 0.75],
    "val_loss": [2.5, 2.25, 2.0],
    "val_accuracy": [0.125, 0.375, 0.5],
}


def curves(figure):
    """What is drawn: {panel: [(x, y), (x, y)]}, training first."""
    return {
        axes.get_title(): [tuple(map(list, line.get_data())) for line in axes.lines]
        for axes in figure.axes
    }


def some_predictions():
    labels = np.array([0, 1, 2, 1])
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.55, 0.15, 0.3], [0, 1, 0]])
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 7), dtype="uint8")
    return images, probabilities, labels


def make(kind, path=None):
    if kind == "curve":
        return visualize.plot_learning_curve(HISTORY, path)
    if kind == "confusion":
        return visualize.plot_confusion_matrix([0, 1, 2, 2], [0, 2, 2, 2], NAMES, path)
    images, probabilities, labels = some_predictions()
    return visualize.plot_predictions(images, probabilities, NAMES, labels, path)


@pytest.mark.parametrize("kind", ["curve", "confusion", "predictions"])
def test_png(kind, tmp_path):
    path = tmp_path / "plot.png"
    path.write_bytes(b"an older file")
    figure = make(kind, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == tuple(np.rint(figure.get_size_inches() * 150).astype(int))
        pixels = np.asarray(image.convert("L"))
    assert len(np.unique(pixels)) > 20  # something is drawn
    assert (pixels == 255).mean() > 0.05
    assert os.listdir(tmp_path) == ["plot.png"]
    with Image.open(io.BytesIO(figure._repr_png_())) as shown:  # what notebooks ask for
        assert shown.format == "PNG"


@pytest.mark.parametrize("kind", ["curve", "confusion", "predictions"])
def test_interrupted_write_leaves_the_old_file(kind, tmp_path, monkeypatch):
    path = tmp_path / "plot.png"
    path.write_bytes(b"an older file")

    def interrupted(figure, file, **kwargs):
        file.write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(figures._figure_class(), "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(kind, path)
    assert path.read_bytes() == b"an older file"
    assert os.listdir(tmp_path) == ["plot.png"]


def test_a_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "plot.png"

    def full(figure, file, **kwargs):
        file.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figures._figure_class(), "savefig", full)
    with pytest.raises(WriteError, match=r"plot\.png cannot be written: No space left"):
        make("curve", path)
    assert os.listdir(tmp_path) == []


def test_learning_curve_draws_the_history():
    drawn = curves(visualize.plot_learning_curve(HISTORY))
    assert drawn == {
        "Loss": [([1, 2, 3], HISTORY["loss"]), ([1, 2, 3], HISTORY["val_loss"])],
        "Accuracy": [([1, 2, 3], HISTORY["accuracy"]), ([1, 2, 3], HISTORY["val_accuracy"])],
    }


def test_learning_curve_from_a_log(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,accuracy,loss,val_accuracy\n0,0.25,2.0,NA\n1,0.5,1.5,0.375\n")
    assert curves(visualize.plot_learning_curve(log)) == {
        "Loss": [([1, 2], [2.0, 1.5])],
        "Accuracy": [([1, 2], [0.25, 0.5]), ([2], [0.375])],  # NA: not validated that epoch
    }


def test_learning_curve_without_accuracy():
    drawn = curves(visualize.plot_learning_curve({"loss": [2.0], "learning_rate": [0.1]}))
    assert drawn == {"Loss": [([1], [2.0])]}


@pytest.mark.parametrize("metric", ["mean_iou", "val_mean_iou"])
def test_learning_curve_of_another_task(metric):
    """A metric that only validation has, next to one that would be drawn without a name."""
    history = {"loss": [2.0, 1.0], "accuracy": [0.5, 0.5], "val_mean_iou": [0.25, 0.5]}
    drawn = curves(visualize.plot_learning_curve(history, metric=metric))
    assert drawn == {"Loss": [([1, 2], [2.0, 1.0])], "Mean iou": [([1, 2], [0.25, 0.5])]}


def test_learning_curve_of_accuracy_by_name():
    figure = visualize.plot_learning_curve(HISTORY, metric="val_accuracy")
    assert curves(figure) == curves(visualize.plot_learning_curve(HISTORY))


def test_confusion_matrix_counts():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 7, 500)
    predictions = np.where(rng.random(500) < 0.7, labels, rng.integers(0, 7, 500))
    labels[labels == 3] = 2  # a class that never occurs
    figure = visualize.plot_confusion_matrix(labels, predictions, list("abcdefg"))
    counts, _, _ = np.histogram2d(labels, predictions, bins=[np.arange(8)] * 2)

    axes = figure.axes[0]
    written = np.zeros((7, 7))
    for text in axes.texts:
        column, row = text.get_position()
        written[row, column] = int(text.get_text())
    np.testing.assert_array_equal(written, counts)
    shares = axes.images[0].get_array()
    rows = counts.sum(axis=1)
    np.testing.assert_allclose(shares[rows > 0], counts[rows > 0] / rows[rows > 0, None])
    assert not shares[3].any()
    assert [t.get_text() for t in axes.get_yticklabels()] == list("abcdefg")
    assert axes.get_title().startswith(f"{(labels == predictions).sum()} of 500 right")


def test_predictions_say_what_is_wrong():
    images, probabilities, labels = some_predictions()
    figure = visualize.plot_predictions(images, probabilities, NAMES, labels)
    assert [axes.get_title() for axes in figure.axes] == [
        "cat 70%\ntrue: cat",
        "dog 80%\ntrue: dog",
        "cat 55%\ntrue: emu",
        "dog 100%\ntrue: dog",
    ]
    widths = [axes.spines["left"].get_linewidth() for axes in figure.axes]
    assert widths[2] >= 3 * max(widths[0], widths[1], widths[3])
    for axes, image in zip(figure.axes, images, strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), image / 255, atol=1e-6)


def test_predictions_in_colour_and_without_labels():
    images = np.random.default_rng(2).random((2, 5, 7, 3))
    figure = visualize.plot_predictions(images, np.eye(3)[:2], NAMES)
    assert [axes.get_title() for axes in figure.axes] == ["cat 100%", "dog 100%"]
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), images[1], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: visualize.plot_learning_curve({"accuracy": [1.0]}), "'loss'"),
        (lambda: visualize.plot_learning_curve({"loss": []}), "'loss'"),
        (lambda: visualize.plot_learning_curve("no/log.csv"), "no/log.csv"),
        (
            lambda: visualize.plot_learning_curve({"loss": [1.0], "val_loss": [1.0, 2.0]}),
            "'val_loss' has 2",
        ),
        (
            lambda: visualize.plot_learning_curve(
                {"loss": [1.0], "AP": [1.0], "val_AP": [1.0, 2.0]}, metric="AP"
            ),
            "'val_AP' has 2",
        ),
        (
            lambda: visualize.plot_learning_curve(HISTORY, metric="val_auc"),
            "one of accuracy, loss. Received: 'val_auc'",
        ),
        (lambda: visualize.plot_learning_curve(HISTORY, "curve.jpg"), "curve.jpg"),
        (lambda: visualize.plot_learning_curve(HISTORY, "no/such/curve.png"), "no/such"),
        (lambda: visualize.plot_confusion_matrix([0, 3], [0, 1], NAMES), "[0, 3)"),
        (lambda: visualize.plot_confusion_matrix([0, 1], [0, -1], NAMES), "`predictions`"),
        (lambda: visualize.plot_confusion_matrix([0.0], [0], NAMES), "`labels`"),
        (lambda: visualize.plot_confusion_matrix([0, 1], [0], NAMES), "2 and 1"),
        (
            lambda: visualize.plot_predictions(np.zeros((1, 5, 7)), np.ones((1, 2)), NAMES),
            "(1, 3)",
        ),
        (
            lambda: visualize.plot_predictions(np.zeros((1, 5, 7, 2)), np.ones((1, 3)), NAMES),
            "(1, 5, 7, 2)",
        ),
        (
            lambda: visualize.plot_predictions(2.0 * np.ones((1, 5, 7)), np.ones((1, 3)), NAMES),
            "float64 on 2.0..2.0",
        ),
        (
            lambda: visualize.plot_predictions(np.zeros((1, 5, 7)), np.ones((1, 3)), NAMES, [1, 2]),
            "`labels`",
        ),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ValueError) as error:
        call()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    figures._figure_class.cache_clear()
    with pytest.raises(ImportError, match=r"keras_regionvit\[visualize\]"):
        make("curve")


def test_pyplot_is_not_touched(tmp_path):
    """The import is light, and drawing leaves no global state behind."""
    code = (  # the room by itself: Keras imports pyplot where it finds it
        "import sys, types\n"
        "package = sys.modules['keras_regionvit'] = types.ModuleType('keras_regionvit')\n"
        f"package.__path__ = [{str(pathlib.Path(visualize.__file__).parents[1])!r}]\n"
        "from keras_regionvit import visualize\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"visualize.plot_learning_curve({{'loss': [1.0]}}, {str(tmp_path / 'a.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "a.png").stat().st_size > 1000


ODD_NAMES = ["US$ 5", r"a $\frac{1$ b_2^", "US$ 5\\x$", "\udcff", "x" * 300, "two\nlines"]


def test_names_of_classes_are_no_mathematics(tmp_path):
    count = len(ODD_NAMES)
    images = np.zeros((count, 4, 4), "uint8")
    visualize.plot_confusion_matrix(range(count), range(count), ODD_NAMES, tmp_path / "a.png")
    figure = visualize.plot_predictions(
        images, np.eye(count), ODD_NAMES, range(count), tmp_path / "b.png"
    )
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[2] == "US$ 5\\x$ 100%\ntrue: US$ 5\\x$" and titles[5].startswith("two lines ")
    assert max(map(len, titles)) < 90


@pytest.mark.parametrize("count", [21, 101, 1000])
def test_a_confusion_matrix_of_many_classes_does_not_grow(count, tmp_path):
    names = [f"class {i}" for i in range(count)]
    labels = np.arange(count)
    figure = visualize.plot_confusion_matrix(labels, labels[::-1], names, tmp_path / "plot.png")
    assert max(figure.get_size_inches()) < 16
    axes = figure.axes[0]
    assert not axes.texts
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert (shown == names) if count <= 100 else ("class 0" not in shown)
