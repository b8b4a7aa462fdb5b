"""What the quick start shows beside the usual: a linear model, pictures, a reloaded model."""

import numpy as np

from keras_regionvit import visualize
from training.data.sources import fashion_mnist
from training.runs.report import predict_in_fresh_process
from training.tasks.linear_softmax import linear_softmax

SAMPLES = 12  # held-out images that the reloaded model is shown
REPRODUCED = 1e-5  # greatest difference of probabilities that rounding explains


def finish(run):
    """Judges the exported model, draws it, and lets a linear model learn from the same images.

    Args:
        run: a `training.runs.run.Finished`.

    Returns:
        Figures for the report, a dict.

    Raises:
        RuntimeError: the reloaded model fails or gives other numbers than the model.

    Example:

    >>> finish(run)["linear_softmax_accuracy"]
    """
    training, held_out = fashion_mnist.load()
    if run.smoke:
        training = fashion_mnist.Split(*(x[:500] for x in training))
    names = fashion_mnist.CLASS_NAMES
    pixels = held_out.images.astype("float32")
    probabilities = run.model.predict(pixels, batch_size=250, verbose=0)
    linear = linear_softmax(training, held_out, classes=10, steps=50 if run.smoke else 600)
    visualize.plot_confusion_matrix(
        held_out.labels, probabilities.argmax(axis=1), names, run.folder / "confusion_matrix.png"
    )
    samples = predict_in_fresh_process(run.saved_model, SAMPLES, run.folder / "predictions.json")
    shown = [sample["index"] for sample in samples]
    reloaded = np.array([list(sample["probabilities"].values()) for sample in samples])
    visualize.plot_predictions(
        held_out.images[shown],
        reloaded,
        names,
        held_out.labels[shown],
        run.folder / "predictions.png",
    )
    accuracy = float(np.mean(probabilities.argmax(axis=1) == held_out.labels))
    difference = float(np.abs(reloaded - probabilities[shown]).max())
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
