"""Small models with the paper's ablations, trained on Fashion-MNIST at equal budget.

The model has two stages of 32 and 64 channels and two encoders each, windows of 4 and patches of
2 pixels. The images 28x28 have a black border of 2 pixels: 4x4 regions, then 2x2. A row changes
its switches alone, never widths and depths. The budget of every run: 5 epochs of 5,000 images in
batches of 50, plain `fit` without augmentation, AdamW under a cosine.
Seconds are kept to plan by, not to compare rows: ablations lack RegionViT's own optimisations.
"""

import csv
import math
import os
import time
from pathlib import Path

import keras
import numpy as np

from keras_regionvit import RegionViTBackbone, build_classifier
from training.data.sources import fashion_mnist
from training.optimizers import adamw
from training.schedules import WarmupCosine

SETTINGS = {
    "epochs": 5,
    "training_images": 5000,
    "batch_size": 50,
    "learning_rate": 2e-3,
    "warmup_share": 0.1,
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
    "drop_path_rate": 0.1,
}
FIELDS = ["row", "seed", "parameters", "accuracy", "seconds", *SETTINGS]
CLASSES = len(fashion_mnist.CLASS_NAMES)
HELD_OUT = 1000


def build(row, images, drop_path_rate):
    """The classifier of a row: float32 images (B, 28, 28, 1) on 0..255 to (B, 10).

    Args:
        row: a row of `benchmarks.ablations.ROWS`.
        images: the training images, for their mean and deviation.
        drop_path_rate: stochastic depth of the last encoder.

    Returns:
        A functional `keras.Model`.
    """
    switches = {key: value for key, value in row.arguments.items() if key != "depths"}
    inputs = keras.Input((28, 28, 1), name="images")
    x = keras.layers.ZeroPadding2D(2, name="border")(inputs)
    mean, deviation = float(images.mean()), float(images.std())
    x = keras.layers.Rescaling(1 / deviation, -mean / deviation, name="standardise")(x)
    backbone = RegionViTBackbone(
        embed_dims=(32, 64),
        depths=(2, 2),
        window_size=4,
        patch_size=2,
        drop_path_rate=drop_path_rate,
        input_shape=(32, 32, 1),
        **switches,
    )
    return build_classifier(backbone, CLASSES, inputs=x)


def train(row, seed, settings):
    """Trains a row's model once.

    Args:
        row: a row of `benchmarks.ablations.ROWS`.
        seed: of the weights, the order of the images and stochastic depth.
        settings: a dict with the keys of `SETTINGS`.

    Returns:
        A dict of the parameters, the accuracy on the held-out images and the seconds it took.
    """
    begun = time.monotonic()
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    training, held_out = fashion_mnist.load()
    chosen = fashion_mnist.first_of_each_class(training, settings["training_images"])
    images = training.images[chosen].astype("float32")
    labels = keras.utils.to_categorical(training.labels[chosen], CLASSES)
    model = build(row, training.images, settings["drop_path_rate"])
    steps = settings["epochs"] * -(-len(images) // settings["batch_size"])
    warmup = min(round(settings["warmup_share"] * steps), steps - 1)
    schedule = WarmupCosine(settings["learning_rate"], steps, warmup)
    model.compile(
        optimizer=adamw(model, schedule, settings["weight_decay"]),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=settings["label_smoothing"]),
        jit_compile=False,
    )
    model.fit(
        images,
        labels,
        batch_size=settings["batch_size"],
        epochs=settings["epochs"],
        verbose=0,
    )
    found = model.predict(held_out.images.astype("float32"), batch_size=250, verbose=0)
    return {
        "parameters": model.count_params(),
        "accuracy": round(float(np.mean(found.argmax(axis=1) == held_out.labels)), 4),
        "seconds": round(time.monotonic() - begun, 1),
    }


def read_runs(path, settings):
    """The runs that a file holds.

    Args:
        path: a CSV file, which need not exist.
        settings: what they must have been trained with.

    Returns:
        `{(row, seed): dict of strings}`, in the order of the file.

    Raises:
        ValueError: the file has other columns, or runs of other settings.
    """
    if not Path(path).exists():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        runs = list(reader)
        if reader.fieldnames != FIELDS:
            raise ValueError(f"{path} has not the columns {', '.join(FIELDS)}; name another file.")
    for run in runs:
        other = [key for key, value in settings.items() if run[key] != str(value)]
        if other:
            raise ValueError(
                f"{path} holds runs with {other[0]}={run[other[0]]}, not "
                f"{settings[other[0]]}; name another file."
            )
    return {(run["row"], int(run["seed"])): run for run in runs}


def write_runs(path, runs):
    """Writes the runs, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(runs)
    os.replace(aside, path)


def run(rows, seeds, path, changed=None):
    """Trains what the file does not hold yet.

    All rows are trained with one seed before the next, so that a file that was begun compares
    rows at equal budget.

    Args:
        rows: `{name: row}`.
        seeds: ints.
        path: CSV file of the runs, read and written.
        changed: settings that differ from `SETTINGS`.

    Returns:
        `{name: [accuracy in % of each seed]}`.

    Raises:
        ValueError: the file is of other settings.
    """
    settings = SETTINGS | (changed or {})
    runs = read_runs(path, settings)
    for seed in seeds:
        for name, row in rows.items():
            if (name, seed) not in runs:
                result = train(row, seed, settings)
                runs[name, seed] = {"row": name, "seed": seed, **result, **settings}
                write_runs(path, runs.values())
                print(
                    f"seed {seed}, {name}: {result['accuracy']:.1%} in {result['seconds']:.0f} s",
                    flush=True,
                )
    return {name: [100 * float(runs[name, seed]["accuracy"]) for seed in seeds] for name in rows}


def check(path, changed=None):
    """That a training with these settings can begin or go on.

    Args:
        path: CSV file of the runs.
        changed: settings that differ from `SETTINGS`.

    Raises:
        ValueError: the file is of other settings, or there are fewer images than are asked for.
    """
    settings = SETTINGS | (changed or {})
    most = len(fashion_mnist.load()[0].labels)
    if not 1 <= settings["training_images"] <= most:
        raise ValueError(f"--images must be from 1 to {most:,}, not {settings['training_images']}")
    if settings["epochs"] < 1:
        raise ValueError(f"--epochs must be at least 1, not {settings['epochs']}")
    read_runs(path, settings)


def describe(seeds, changed=None):
    """What the accuracies are of, in two sentences."""
    settings = SETTINGS | (changed or {})
    return (
        f"Fashion-MNIST: a small model of each row's kind, {settings['training_images']:,} images "
        f"for {settings['epochs']} epochs in batches of {settings['batch_size']}, judged on "
        f"{HELD_OUT:,} others; seeds {', '.join(map(str, seeds))}.\n"
        "spread: standard deviation over the seeds. All share the images they are judged on, whose "
        f"choice alone makes an error of {100 * math.sqrt(0.82 * 0.18 / HELD_OUT):.1f} (at 82%)."
    )
