"""One global batch for many replicas: each gets its rows, the last batch is filled up."""

import itertools
import math

import tensorflow as tf


def local_replicas(strategy):
    """How many replicas this process runs."""
    if strategy.num_replicas_in_sync == 1:
        return 1  # the default strategy does not say
    return len(strategy.extended.worker_devices)


def workers_of(strategy):
    """How many processes share the training."""
    return strategy.num_replicas_in_sync // local_replicas(strategy)


def check_pairs(batch_size, replicas, workers):
    """That rows which are mixed with each other can lie with the same worker.

    Raises:
        ValueError: they cannot.

    Example:

    >>> check_pairs(16, replicas=4, workers=2)
    """
    if workers > 1 and batch_size % (2 * replicas):
        raise ValueError(
            "`batch_size` must be a multiple of twice the replicas where rows are mixed in "
            f"pairs (MixUp, CutMix). Received: {batch_size} and {replicas}"
        )


def endless(dataset):
    """`dataset`, and rows of zeros for ever after it.

    A strategy asks all workers before each batch whether a finite data set has one left.

    Args:
        dataset: a `tf.data.Dataset` of tensors; the zeros have sides of 1 where shapes are open.

    Example:

    >>> len(list(endless(dataset).take(1000)))
    1000
    """
    zeros = tf.nest.map_structure(
        lambda spec: tf.zeros([side or 1 for side in spec.shape], spec.dtype), dataset.element_spec
    )
    return dataset.concatenate(tf.data.Dataset.from_tensors(zeros).repeat())


def distribute_dataset(strategy, batches, batch_size, steps):
    """The global batches of a training, each in contiguous parts on the replicas.

    Args:
        strategy: a `tf.distribute.Strategy`.
        batches: a function from `(index, workers)` to a `tf.data.Dataset` of that worker's rows
            of each global batch, see `training.data.pipeline.training_batches`.
        batch_size: rows of the global batch, a multiple of the replicas.
        steps: how many batches there are.

    Returns:
        An iterable over `steps` nests of per-replica values, for `strategy.run`.

    Example:

    >>> for inputs, targets in distribute_dataset(strategy, of_worker, 64, steps=100): ...
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches((0, 1))

    def of_worker(context):
        rows = endless(batches((context.input_pipeline_id, context.num_input_pipelines)))
        return rows.rebatch(batch_size // replicas, drop_remainder=True).prefetch(2)

    distributed = strategy.distribute_datasets_from_function(of_worker)
    return itertools.islice(distributed, steps)


def distribute_once(strategy, batches, batch_size, count):
    """A data set once, each row on one replica; what fills the last batch up has the weight 0.

    So all batches have one shape, and all workers have the same number of them.

    Args:
        strategy: a `tf.distribute.Strategy`.
        batches: a function from `(index, workers)` to a `tf.data.Dataset` of batches `(inputs,
            targets)` of every `workers`-th row; the last batch may be smaller.
        batch_size: rows of a worker's batch.
        count: rows of the whole data set.

    Returns:
        An iterable over `(inputs, targets, weights float32 (B,))`; pairs without weights from
        `batches` for a single replica.

    Example:

    >>> for inputs, targets, weights in distribute_once(strategy, of_worker, 250, 1000): ...
    """
    if strategy.num_replicas_in_sync == 1:
        return batches((0, 1))
    local = local_replicas(strategy)
    each = math.ceil(batch_size / local)  # of a replica

    def of_worker(context):
        shard = (context.input_pipeline_id, context.num_input_pipelines)
        rows = endless(batches(shard).map(lambda *batch: filled(batch, each * local)))
        return rows.rebatch(each, drop_remainder=True).prefetch(2)

    def once():
        steps = math.ceil(math.ceil(count / workers_of(strategy)) / batch_size)
        return itertools.islice(strategy.distribute_datasets_from_function(of_worker), steps)

    return Again(once)


def filled(batch, size):
    """A batch with rows of zeros up to `size` rows, and a weight for each row.

    Args:
        batch: a tuple of nests of tensors, at most `size` rows each.
        size: int.

    Returns:
        `(*batch, weights)`: float32 (size,) weights, 1 for a row that was there.
    """

    def fill(rows):
        missing = size - tf.shape(rows)[0]
        rows = tf.pad(rows, [[0, missing]] + [[0, 0]] * (rows.shape.rank - 1))
        return tf.ensure_shape(rows, (size, *rows.shape[1:]))

    there = tf.shape(tf.nest.flatten(batch)[0])[:1]
    return *tf.nest.map_structure(fill, batch), fill(tf.ones(there))


class Again:
    """What can be gone through again and again.

    Args:
        make: a function that gives an iterable.

    Example:

    >>> numbers = Again(lambda: iter(range(3)))
    >>> list(numbers) == list(numbers)
    True
    """

    def __init__(self, make):
        self.make = make

    def __iter__(self):
        return iter(self.make())
