"""What the quick start shows beside the usual: a linear model, plots, a reloaded model."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from keras_regionvit import visualize
from training.data.sources import fashion_mnist
from training.tasks.linear_softmax import linear_softmax

SAMPLES = 12  # held-out images that the reloaded model is shown
REPRODUCED = 1e-5  # greatest difference of probabilities that rounding explains
ROOT = Path(__file__).resolve().parents[2]


def finish(run):
    """Judges the exported model, draws it, and lets a linear model learn from the same images.

    Args:
        run: a `training.runs.run.Finished`, whose model takes the pixels of Fashion-MNIST.

    Returns:
        Values for the report, a dict.

    Raises:
        RuntimeError: the reloaded model fails or gives other numbers than the model.

    Example:

    >>> finish(run)["linear_softmax_accuracy"]
    """
    training, held_out = fashion_mnist.load()
    if run.smoke:
        training = fashion_mnist.Split(*(x[:500] for x in training))
    pixels = held_out.images.astype("float32")
    probabilities = run.model.predict(pixels, batch_size=250, verbose=0)
    linear = linear_softmax(training, held_out, classes=10, steps=50 if run.smoke else 600)
    samples = predict_in_fresh_process(run.saved_model, SAMPLES, run.folder / "predictions.json")
    difference = draw(run.folder, held_out, probabilities, samples)
    accuracy = float(np.mean(probabilities.argmax(axis=1) == held_out.labels))
    print(
        f"\nAccuracy on the held-out images, seed {run.seed}:\n"
        f"  RegionViT       {accuracy:.1%}\n"
        f"  linear softmax  {linear:.1%}\n"
        f"reloaded probabilities differ by {difference:.0e} at most"
    )
    if difference > REPRODUCED:
        raise RuntimeError(
            f"the SavedModel's probabilities differ by {difference:.1e} from the trained "
            f"model's; at most {REPRODUCED} was expected"
        )
    return {
        "accuracy": accuracy,
        "linear_softmax_accuracy": linear,
        "reloaded_difference": difference,
    }


def draw(folder, held_out, probabilities, samples):
    """Writes the plots; returns how far the reloaded probabilities are from the model's."""
    names = fashion_mnist.CLASS_NAMES
    visualize.plot_confusion_matrix(
        held_out.labels, probabilities.argmax(axis=1), names, folder / "confusion_matrix.png"
    )
    shown = [sample["index"] for sample in samples]
    reloaded = np.array([list(sample["probabilities"].values()) for sample in samples])
    visualize.plot_predictions(
        held_out.images[shown],
        reloaded,
        names,
        held_out.labels[shown],
        folder / "predictions.png",
    )
    return float(np.abs(reloaded - probabilities[shown]).max())


def predict_in_fresh_process(saved_model, samples, path):
    """Lets `training.predict` load a SavedModel and predict held-out images; prints its words.

    Args:
        saved_model: folder of the SavedModel.
        samples: how many images.
        path: the JSON file that the other process writes.

    Returns:
        The list in that file, see `training.predict.run`.

    Raises:
        RuntimeError: the other process fails.

    Example:

    >>> predict_in_fresh_process("runs/mine/saved_model/1", 10, "runs/mine/predictions.json")
    """
    arguments = ["--model", saved_model, "--samples", samples, "--json", path]
    arguments = [str(x.resolve() if isinstance(x, Path) else x) for x in arguments]
    print(f"\nThe exported model, loaded in a fresh process, on {samples} held-out images:")
    done = subprocess.run(
        [sys.executable, "-m", "training.predict", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the exported model cannot be used: {done.stderr.strip()}")
    print(done.stdout, end="")
    return json.loads(Path(path).read_text("utf-8"))
