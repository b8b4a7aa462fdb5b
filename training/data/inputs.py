"""From a task and its recipe to the batches of a run."""

import dataclasses
import functools
import itertools
import math
from typing import Any

from training.data.orientation import alternating
from training.data.pipeline import evaluation_batches, training_batches
from training.distribute.replicas import Again, distribute_dataset, distribute_once

EVALUATION_BATCH = 250  # examples at a time, unless batches of training are smaller


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The data of a run.

    Attributes:
        source: a `training.data.sources.source.Source` to learn from.
        held_out: one to be evaluated on.
        steps_per_epoch: whole batches an epoch; where the recipe says steps, its parts of them.
    """

    source: Any
    held_out: Any
    steps_per_epoch: int

    @property
    def info(self):
        """What both sources say of their data."""
        return self.source.info

    @property
    def notes(self):
        """What to say of the data before a run, a list of lines."""
        parts = (("to learn from", self.source), ("held out", self.held_out))
        lines = [f"{part}: {source.summary}" for part, source in parts if source.summary]
        return [*lines, *dict.fromkeys((*self.source.notes, *self.held_out.notes))]


def open_inputs(task, data=None):
    """Opens the data of a recipe.

    Args:
        task: a `training.tasks.task.Task`.
        data: optional folder or file with the data.

    Returns:
        `Inputs`.

    Raises:
        ValueError: data are missing, or do not fit the recipe.

    Example:

    >>> open_inputs(open_task(recipe)).steps_per_epoch
    """
    settings = task.recipe.data
    source = task.open_split(settings.train_split, data)
    held_out = task.open_split(settings.eval_split, data)
    for key in source.info:
        if source.info[key] != held_out.info[key]:
            raise ValueError(
                f"the splits {settings.train_split} and {settings.eval_split} of {source.name} "
                f"differ in their {key.replace('_', ' ')}: {_said(source.info[key])} and "
                f"{_said(held_out.info[key])}."
            )
    if source.count < settings.batch_size:
        raise ValueError(
            f"`data.batch_size` must be at most the {source.count} {task.unit} of {source.name}. "
            f"Received: {settings.batch_size}"
        )
    schedule = task.recipe.schedule
    steps = sum(_steps(task, source))
    return Inputs(source, held_out, schedule.steps // schedule.epochs or steps)


def train_batches(task, inputs, *, seed, start_step=0, **options):
    """The batches of all epochs from a step on: a pure function of seed and step.

    Args:
        task: a `training.tasks.task.Task`.
        inputs: `Inputs`.
        seed: int.
        start_step: steps that are done already.
        **options: more arguments of `training.data.pipeline.training_batches`, such as
            `skip_corrupt`.

    Returns:
        A `tf.data.Dataset` of `(inputs, targets)`.
    """
    recipe = task.recipe
    steps = _steps(task, inputs.source)
    epochs = recipe.schedule.epochs * inputs.steps_per_epoch / sum(steps)  # of the images

    def of_group(task, source, start_step):
        return training_batches(
            source,
            task.preparation(inputs.info, training=True),
            task.training_specs(inputs.info),
            batch_size=recipe.data.batch_size,
            epochs=math.ceil(epochs),
            seed=seed,
            start_step=start_step,
            repeats=recipe.augment.repeats,
            mix=task.mixing(),
            **options,
        )

    groups = [
        functools.partial(of_group, one, source)
        for one, source in task.groups(inputs.source, training=True)
    ]
    if len(groups) == 1:
        return groups[0](start_step)
    return alternating(groups, steps, epochs=math.ceil(epochs), seed=seed, start_step=start_step)


def eval_batches(task, source, *, batch_size=None, **options):
    """All examples of a source once, in order.

    Returns:
        A `tf.data.Dataset` of `(inputs, targets)`; the last batch may be smaller.
    """
    batch_size = batch_size or _evaluation_batch(task)
    first, *others = (
        _once(*group, batch_size=batch_size, **options)
        for group in task.groups(source, training=False)
    )
    return functools.reduce(lambda done, batches: done.concatenate(batches), others, first)


def _once(task, source, **options):
    """The examples of one group."""
    return evaluation_batches(
        source, task.preparation(source.info, training=False), task.specs(source.info), **options
    )


def training_dataset(strategy, task, inputs, *, start_step=0, **options):
    """`train_batches` on the replicas of a strategy: the same global batches however many.

    Returns:
        An iterable, see `training.distribute.replicas.distribute_dataset`.
    """

    def of_worker(shard):
        return train_batches(
            task,
            inputs,
            start_step=start_step,
            shard=shard,
            replicas=strategy.num_replicas_in_sync,
            **options,
        )

    steps = task.recipe.schedule.epochs * inputs.steps_per_epoch - start_step
    return distribute_dataset(strategy, of_worker, task.recipe.data.batch_size, steps)


def evaluation_dataset(strategy, task, source, *, batch_size=None, **options):
    """`eval_batches` on the replicas of a strategy.

    Returns:
        An iterable, see `training.distribute.replicas.distribute_once`.
    """
    batch_size = batch_size or _evaluation_batch(task)

    def of_group(task, source):
        def of_worker(shard):
            return _once(task, source, batch_size=batch_size, shard=shard, **options)

        return distribute_once(strategy, of_worker, batch_size, source.count)

    groups = [of_group(*group) for group in task.groups(source, training=False)]
    return groups[0] if len(groups) == 1 else Again(lambda: itertools.chain(*groups))


def _steps(task, source):
    """Steps that each group has in an epoch, a list of ints."""
    groups = task.groups(source, training=True)
    return [group.count // task.recipe.data.batch_size for _, group in groups]


def _evaluation_batch(task):
    return min(task.recipe.data.batch_size, EVALUATION_BATCH)


def _said(value):
    """A value in few words."""
    return len(value) if isinstance(value, (tuple, list, dict)) else repr(value)
