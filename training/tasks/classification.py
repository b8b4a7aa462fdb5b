"""From the figures of a recipe to a model, an optimizer and starting weights."""

import dataclasses
import io
import zipfile
from typing import Any

import keras
import numpy as np

import keras_regionvit
from keras_regionvit import RegionViTBackbone, build_classifier
from keras_regionvit.backbone import SWITCHES
from keras_regionvit.weights.pretrained import check_weights, load_weights
from keras_regionvit.weights.torch_file import read_torch_file
from training.engine.loop import Parts, averages
from training.optimizers import adamw, sgd
from training.schedules import WarmupCosine


def build_model(recipe, classes, preprocessing=False):
    """The classifier of a recipe.

    Args:
        recipe: a `training.recipes.schema.Recipe`.
        classes: number of classes.
        preprocessing: whether the model takes pixels on 0..255, as a saved one does; else it
            takes what the input pipeline gives. A recipe with a `frame` always takes pixels.

    Returns:
        A functional `keras.Model`: images float32 (B, S, S, channels) to probabilities float32
        (B, classes).

    Raises:
        ValueError: the figures do not fit together.

    Example:

    >>> build_model(recipe, classes=10).output.shape
    (None, 10)
    """
    size, channels = recipe.image_size, recipe.channels
    x = keras.Input((size, size, channels), name="images")
    if recipe.frame:
        x = keras.layers.ZeroPadding2D(recipe.frame, dtype="float32", name="frame")(x)
    if recipe.frame or preprocessing:
        mean, variance = np.array(recipe.mean), np.square(recipe.std)
        x = keras.layers.Normalization(
            mean=mean, variance=variance, dtype="float32", name="standardise"
        )(x)
    side = size + 2 * recipe.frame
    arguments = {
        "drop_path_rate": recipe.drop_path_rate,
        "window_size": recipe.windows,
        "input_shape": (side, side, channels),
        "dtype": None if recipe.precision == "float32" else f"mixed_{recipe.precision}",
        "name": "backbone",
        **{switch: getattr(recipe, switch) for switch in SWITCHES},
    }
    if recipe.variant:
        backbone = RegionViTBackbone.from_variant(recipe.variant, **arguments)
    else:
        backbone = RegionViTBackbone(
            embed_dims=recipe.embed_dims, depths=recipe.depths, patch_size=recipe.patch_size,
            stem=recipe.stem, **arguments,
        )  # fmt: skip
    activation = "sigmoid" if recipe.multi_label else "softmax"
    return build_classifier(backbone, classes, activation, inputs=x, name=recipe.name)


def build_parts(recipe, classes, steps_per_epoch, strategy):
    """Everything that is trained, in the strategy's scope.

    Args:
        recipe: a `training.recipes.schema.Recipe`.
        classes: number of classes.
        steps_per_epoch: batches an epoch.
        strategy: a `tf.distribute.Strategy`.

    Returns:
        A `training.engine.loop.Parts`.

    Raises:
        ValueError: `recipe.weights` cannot be read or do not fit.

    Example:

    >>> parts = build_parts(recipe, 10, 100, tf.distribute.get_strategy())
    """
    with strategy.scope():
        model = build_model(recipe, classes)
        if recipe.weights:
            load_start(model, recipe, classes)
        schedule = build_schedule(recipe, steps_per_epoch)
        optimizer = build_optimizer(recipe, model, schedule)
        optimizer.build(model.trainable_variables)
        average = averages(model) if recipe.ema else []
    return Parts(strategy, model, optimizer, schedule, average)


def build_schedule(recipe, steps_per_epoch):
    """The learning rate of a recipe by steps, a `WarmupCosine`."""
    return WarmupCosine(
        recipe.peak_rate,
        recipe.epochs * steps_per_epoch,
        round(recipe.warmup_epochs * steps_per_epoch),
        warmup_rate=recipe.warmup_rate,
        floor=recipe.floor_rate,
        every=steps_per_epoch if recipe.schedule == "epoch" else 1,
    )


def build_optimizer(recipe, model, schedule):
    """The optimizer of a recipe; clipping and averaging are the loop's.

    Returns:
        A Keras optimizer, under a `LossScaleOptimizer` for float16.
    """
    if recipe.optimizer == "adamw":
        optimizer = adamw(model, schedule, recipe.weight_decay, recipe.decay)
    else:
        optimizer = sgd(model, schedule, recipe.weight_decay, recipe.momentum, decay=recipe.decay)
    if recipe.precision == "float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def load_start(model, recipe, classes):
    """Loads the weights that a recipe starts from; a head of other classes stays as it is.

    Regional kernels and position bias tables are resized to the recipe's windows.

    Args:
        model: as `build_model` made it.
        recipe: its recipe; `weights` is "imagenet" or the path of a `.pth`, `.weights.h5` or
            `.keras` file.
        classes: number of classes.

    Raises:
        ValueError: the file is missing, damaged or of another model.
    """
    weights = recipe.weights
    if weights == "imagenet":
        if not recipe.variant:
            raise ValueError("--weights imagenet needs a variant; this recipe's model is its own.")
        name = "RegionViT" + recipe.variant.removesuffix("_w14").title().replace("_", "")
        released = getattr(keras_regionvit, name)(weights="imagenet")
        arrays = keras_regionvit.official_state_dict(released)
        keras_regionvit.load_official_weights(model, arrays, skip_head=classes != 1000)
        return
    check_weights(weights, recipe.variant, channels=3, classes=None, activation=None)
    if weights.endswith((".pth", ".pt")):
        head = read_torch_file(weights).get("head.weight")
        other = head is None or len(head) != classes
        keras_regionvit.load_official_weights(model, weights, skip_head=other)
        return
    own = _classes_in(weights, classes)
    like = dataclasses.replace(recipe, weights="")
    whole = build_model(like, own)
    load_weights(whole, weights, recipe.variant)
    kept = len(model.weights) if own == classes else len(model.weights) - 2  # kernel and bias last
    for variable, value in list(zip(model.weights, whole.weights, strict=True))[:kept]:
        variable.assign(value)


def _classes_in(path, default):
    """The width of the head in a `.weights.h5` or `.keras` file."""
    import h5py

    try:
        source: Any = path
        if path.endswith(".keras"):
            with zipfile.ZipFile(path) as archive:
                source = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(source) as file:
            return int(file["layers/dense/vars/1"].shape[0])
    except (KeyError, IndexError, OSError, zipfile.BadZipFile):
        return default  # loading says what is wrong
