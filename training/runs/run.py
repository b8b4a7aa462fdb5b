"""A run from the first step to the exported model."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_regionvit import visualize
from keras_regionvit.export.saved_model import export_saved_model
from training.data import inputs as data
from training.data.corrupt_images import Skipped
from training.distribute.collectives import check_same, from_all, from_chief
from training.distribute.strategy import check_fits, describe
from training.engine.checkpoint import WriteError
from training.engine.logs import duration
from training.engine.loop import LAST, save_model, train
from training.recipes import catalogue as recipes
from training.runs import folder as run_folder
from training.runs.report import versions
from training.tasks.classification import build_model, build_parts


@dataclasses.dataclass
class Finished:
    """A trained model and what is known of it, as a recipe's own `finish` gets it.

    Attributes:
        recipe: the `Recipe`.
        folder: the run's folder.
        seed: int.
        smoke: whether it was made small.
        model: takes pixels on 0..255; with the averaged weights, if there are any.
        inputs: the `training.data.inputs.Inputs`.
        saved_model: folder of the exported model.
        labels: names of the classes.
    """

    recipe: Any
    folder: Path
    seed: int
    smoke: bool
    model: Any
    inputs: Any
    saved_model: Path
    labels: tuple


def run(recipe, folder, *, seed=0, smoke=False, data_path=None, skip_corrupt=False,
        save_every=0, jit_compile=False, stop=None, strategy=None):  # fmt: skip
    """Trains, from the checkpoint in `folder` if there is one; then evaluates and exports.

    Args:
        recipe: a `training.recipes.schema.Recipe`.
        folder: the run's folder.
        seed: int in [0, 2**31): first weights, order and augmentation follow from it.
        smoke: whether the recipe was made small, for the report.
        data_path: optional folder or file with the images.
        skip_corrupt: whether images that cannot be read are left out.
        save_every: steps between checkpoints within an epoch, 0 for none.
        jit_compile: whether XLA compiles the steps.
        stop: optional `training.engine.signals.StopRequest`.
        strategy: optional `tf.distribute.Strategy`, see `distribute.strategy.open_strategy`; one
            device without it. Of several workers the chief alone writes to `folder`.

    Returns:
        The report, a dict, as in `report.json`.

    Raises:
        LostWorker: another worker is gone.
        ValueError: images, weights or the checkpoint do not fit, or workers have other images.
        WriteError: a file cannot be written.
        NotFinite: the loss is no number any more.
        Stopped: it was asked to stop.

    Example:

    >>> run(recipe, Path("runs/mine"))["accuracy"]
    """
    begun = time.monotonic()
    folder, strategy = Path(folder), strategy or tf.distribute.get_strategy()
    check_fits(strategy, recipe, jit_compile)
    keras.utils.set_random_seed(seed)
    if recipe.deterministic:
        # keras-cv's layers ask for it, and never draw from it here
        tf.random.set_global_generator(tf.random.Generator.from_seed(seed, alg="philox"))
        tf.config.experimental.enable_op_determinism()
    inputs = data.open_inputs(recipe, data_path)
    check_same(strategy, counts(inputs))
    if from_chief(strategy, lambda: (folder / LAST).exists()):
        recipe = dataclasses.replace(recipe, weights="")  # the checkpoint has newer ones
    parts = build_parts(recipe, inputs.classes, inputs.steps_per_epoch, strategy)
    print(
        f"{parts.model.count_params():,} weights, {inputs.source.count:,} images to learn from, "
        f"{inputs.held_out.count:,} held out"
    )
    skipped = Skipped()
    reading = {"skip_corrupt": skip_corrupt, "skipped": skipped}

    def finish(trained, history, speed, skipped):
        """Exports the model; gives the report."""
        model = for_pixels(recipe, trained, inputs.classes)
        finished = export(recipe, folder, seed, smoke, model, inputs, history)
        own: Callable = getattr(recipes.load(recipe.name), "finish", lambda run: {})
        scores = {k.removeprefix("val_"): v for k, v in history[-1].items() if k[:4] == "val_"}
        report = {
            "recipe": recipe.name,
            "smoke": smoke,
            "seed": seed,
            "settings": recipe.to_dict(),
            "devices": describe(strategy),
            "weights": model.count_params(),
            **scores,
            "images_per_second": None if speed != speed else round(speed, 1),
            "seconds": round(time.monotonic() - begun, 1),
            "versions": versions(),
        }
        if skip_corrupt:
            report["skipped_images"] = len(skipped)
            print(f"{len(skipped)} images could not be read and were left out")
        report |= own(finished)
        report["seconds"] = round(time.monotonic() - begun, 1)
        run_folder.write_json(folder / run_folder.REPORT, report)
        return report

    history, speed = train(
        recipe,
        parts,
        lambda step: data.spread_training(
            strategy, recipe, inputs, seed=seed, start_step=step, **reading
        ),
        data.spread_evaluation(strategy, recipe, inputs.held_out, **reading),
        folder,
        steps_per_epoch=inputs.steps_per_epoch,
        figure="auc" if recipe.multi_label else "accuracy",
        save_every=save_every,
        jit_compile=jit_compile and not recipe.deterministic,
        stop=stop,
    )
    with parts.averaged() as trained:
        names = set().union(*from_all(strategy, sorted(skipped.names)))
        return from_chief(
            strategy, lambda: finish(trained, history, speed, names), ValueError, WriteError
        )


def counts(inputs):
    """What the workers must find alike in their images, a dict of plain data.

    Example:

    >>> counts(open_inputs(recipe))["number of classes"]
    4
    """
    names = inputs.source.class_names
    return {
        "number of images to learn from": int(inputs.source.count),
        "number of images held out": int(inputs.held_out.count),
        "number of classes": len(names),
        **{f"name of class {i}": str(name) for i, name in enumerate(names)},
    }


def for_pixels(recipe, model, classes):
    """The same model as one that takes pixels on 0..255, with its own copy of the weights."""
    whole = build_model(recipe, classes, preprocessing=True)
    whole.set_weights(model.get_weights())
    return whole


def export(recipe, folder, seed, smoke, model, inputs, history):
    """Writes `learning_curve.png`, `model.keras` and `saved_model/1`; returns a `Finished`."""
    curves = {key: [row[key] for row in history] for key in history[0] if key != "epoch"}
    visualize.plot_learning_curve(curves, folder / "learning_curve.png")
    save_model(model, folder / "model.keras")
    saved_model = folder / "saved_model" / "1"
    labels = tuple(
        " ".join(str(name).split()) or str(i) for i, name in enumerate(inputs.source.class_names)
    )
    if not saved_model.exists():  # a resumed run may have come that far
        export_saved_model(model, saved_model, labels=labels)
    return Finished(recipe, folder, seed, smoke, model, inputs, saved_model, labels)


def print_report(report, folder):
    """Prints the last words of a run."""
    shown = ", ".join(
        f"{key} {report[key]:.1%}" for key in ("accuracy", "top5_accuracy", "auc") if key in report
    )
    print(
        f"\nOn the held-out images, seed {report['seed']}: {shown}\n"
        f"{duration(report['seconds'])} in all; "
        f"{folder} holds " + ", ".join(sorted(path.name for path in Path(folder).iterdir())) + "\n"
        "Try your own pictures: "
        f"python -m training.predict --model {folder}/saved_model/1 IMAGE ..."
    )
