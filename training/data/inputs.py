"""From the figures of a recipe to batches of images."""

import dataclasses
from typing import Any

from training.augmentation import batch_augmentation, image_augmentation
from training.data.pipeline import evaluation_batches, training_batches
from training.data.sources import open_source
from training.distribute.replicas import spread, spread_whole


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The images of a run.

    Attributes:
        source: a `training.data.sources.Source` to learn from.
        held_out: one to be judged on.
        classes: number of classes.
        steps_per_epoch: whole batches an epoch.
    """

    source: Any
    held_out: Any
    classes: int
    steps_per_epoch: int


def open_inputs(recipe, data=None):
    """Opens the images of a recipe.

    Args:
        recipe: a `training.recipes.schema.Recipe`.
        data: optional folder or file with the images.

    Returns:
        `Inputs`.

    Raises:
        ValueError: images are missing, or do not fit the recipe.

    Example:

    >>> open_inputs(recipe).steps_per_epoch
    """
    source = open_split(recipe, recipe.train_split, data)
    held_out = open_split(recipe, recipe.eval_split, data)
    if source.class_names != held_out.class_names:
        raise ValueError(
            f"the splits {recipe.train_split} and {recipe.eval_split} of {source.name} differ in "
            f"their classes: {len(source.class_names)} and {len(held_out.class_names)}."
        )
    if source.count < recipe.batch_size:
        raise ValueError(
            f"`batch_size` must be at most the {source.count} images of {source.name}. "
            f"Received: {recipe.batch_size}"
        )
    return Inputs(source, held_out, len(source.class_names), source.count // recipe.batch_size)


def open_split(recipe, split, data=None, *, any_label=False):
    """Opens one part of the images of a recipe.

    Args:
        recipe: a `training.recipes.schema.Recipe`.
        split: its name.
        data: optional folder or file with the images.
        any_label: whether images may have several labels though the recipe gives one each: any
            of them is then a right answer.

    Returns:
        A `training.data.sources.Source`.

    Raises:
        ValueError: images are missing, or do not fit the recipe.
    """
    source = open_source(
        recipe.data,
        split,
        data=data,
        classes=recipe.classes or None,
        channels=recipe.channels,
        multi_label=recipe.multi_label,
        count=recipe.images or None,
        size=recipe.image_size,
    )
    several = source.multi_label and any_label
    if recipe.multi_label != source.multi_label and not several:
        raise ValueError(
            f"`multi_label` must be {source.multi_label} for {source.name}. "
            f"Received: {recipe.multi_label}"
        )
    return source


def train_batches(recipe, inputs, *, seed, start_step=0, **options):
    """The batches of all epochs from a step on: a pure function of seed and step.

    Args:
        recipe: a `training.recipes.schema.Recipe`.
        inputs: `Inputs`.
        seed: int.
        start_step: steps that are done already.
        **options: more arguments of `training.data.pipeline.training_batches`, such as
            `skip_corrupt`.

    Returns:
        A `tf.data.Dataset` of pairs `(images float32 (B, S, S, channels), labels float32 (B,
        classes))`.
    """
    mean, std = _statistics(recipe)
    return training_batches(
        inputs.source,
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        seed=seed,
        start_step=start_step,
        repeats=recipe.repeats,
        crop=recipe.crop,
        shift_pixels=recipe.shift_pixels,
        augment_image=image_augmentation(
            auto_augment=recipe.auto_augment or None,
            color_jitter=recipe.color_jitter,
            flip=recipe.flip,
            erasing=recipe.erasing,
            mean=mean,
            std=std,
            channels=recipe.channels,
        ),
        augment_batch=batch_augmentation(
            mixup=recipe.mixup,
            cutmix=recipe.cutmix,
            switch_probability=recipe.switch_probability,
        ),
        **options,
    )


def eval_batches(recipe, source, *, batch_size=None, **options):
    """All images of a source once, in order.

    Returns:
        A `tf.data.Dataset` of pairs as `train_batches` has them; the last may be smaller.
    """
    mean, std = _statistics(recipe)
    return evaluation_batches(
        source,
        image_size=recipe.image_size,
        batch_size=batch_size or min(recipe.batch_size, 250),
        crop_ratio=recipe.crop_ratio,
        mean=mean,
        std=std,
        **options,
    )


def spread_training(strategy, recipe, inputs, *, start_step=0, **options):
    """`train_batches` on the replicas of a strategy: the same global batches however many.

    Returns:
        An iterable, see `training.distribute.replicas.spread`.
    """

    def of_worker(shard):
        return train_batches(
            recipe, inputs, start_step=start_step, shard=shard,
            replicas=strategy.num_replicas_in_sync, **options,
        )  # fmt: skip

    steps = recipe.epochs * inputs.steps_per_epoch - start_step
    return spread(strategy, of_worker, recipe.batch_size, steps)


def spread_evaluation(strategy, recipe, source, *, batch_size=None, **options):
    """`eval_batches` on the replicas of a strategy.

    Returns:
        An iterable, see `training.distribute.replicas.spread_whole`.
    """
    batch_size = batch_size or min(recipe.batch_size, 250)

    def of_worker(shard):
        return eval_batches(recipe, source, batch_size=batch_size, shard=shard, **options)

    return spread_whole(strategy, of_worker, batch_size, source.count)


def _statistics(recipe):
    """What the pipeline normalises with; a model with a frame normalises by itself."""
    if recipe.frame:
        return (0.0,) * recipe.channels, (1.0,) * recipe.channels
    return recipe.mean, recipe.std
