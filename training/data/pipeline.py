"""From a source to batches: all that is random follows from seed, epoch, index and copy.

So a run can be repeated with any number of threads, and taken up again at any step. What an example
is made of, the source and the `prepare` of a task know; here it is a nest of tensors.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from training.data.corrupt_images import Skipped, careful_reader, replace_unreadable
from training.data.reading import in_order, traced_once, whole_batch
from training.data.sampling import BATCH, IMAGE, ORDER, rows_of, sequence, stream_seed
from training.data.sources.source import Source


def training_batches(
    source,
    prepare,
    specs,
    *,
    batch_size,
    epochs,
    seed,
    start_step=0,
    repeats=1,
    mix=None,
    shard=(0, 1),
    replicas=1,
    skip_corrupt=False,
    skipped=None,
    parallel=None,
):
    """Shuffled and augmented batches of all epochs; `source.count // batch_size` make an epoch.

    Args:
        source: a `training.data.sources.source.Source`.
        prepare: function `(example, seed int32 (2,)) -> (inputs, targets)`.
        specs: the nest of `tf.TensorSpec` that `prepare` makes, without a batch axis.
        batch_size: examples in the global batch.
        epochs: how often to go through the source.
        seed: int in [0, 2**31).
        start_step: steps that are left out at the start; they are not read.
        repeats: differently augmented copies of an example in an epoch of as many examples.
        mix: optional, see `training.tasks.task.Task.mixing`.
        shard: `(index, workers)`: a worker gets its contiguous part of each global batch.
        replicas: contiguous parts of the global batch over all workers; its order depends on it.
        skip_corrupt: put another example of the worker's part in the place of one that cannot be
            read, instead of raising an error; such a batch takes twice the time.
        skipped: optional `Skipped`, told of each such example.
        parallel: examples that are prepared at once in each of two batches; None: all cores.

    Returns:
        A `tf.data.Dataset` of `(inputs, targets)`, each tensor with `batch_size / workers` rows.

    Raises:
        ValueError: an argument makes no sense.
        tf.errors.InvalidArgumentError: when run, on an example that cannot be read; it is named.

    Example:

    >>> training_batches(source, prepare, specs, batch_size=64, epochs=3, seed=0)
    """
    steps = _steps(source, batch_size, epochs, start_step)
    dealt = rows_of(batch_size, repeats=repeats, replicas=replicas, shard=shard, pairs=bool(mix))
    rows = np.sort(dealt) if mix else dealt  # mirror images of the batch are so of the part
    plan = _Plan(source, seed, steps, batch_size, repeats, rows, np.searchsorted(rows, dealt))
    example = _example_of(plan, prepare, specs)
    careful = careful_reader(specs, skip_corrupt, Skipped() if skipped is None else skipped)

    def batch_of(step, records):
        made = whole_batch(records, len(rows), example, careful, parallel)
        batch = _all_readable(*made) if skip_corrupt else made[0]
        return batch if mix is None else _mixed(plan, mix, batch, step)

    return plan.batches(batch_of, start_step, epochs)


def evaluation_batches(
    source,
    prepare,
    specs,
    *,
    batch_size,
    shard=(0, 1),
    skip_corrupt=False,
    skipped=None,
    parallel=None,
):
    """All examples in their natural order.

    Args:
        source: a `training.data.sources.source.Source`.
        prepare: function `(example, None) -> (inputs, targets)`.
        specs: the nest of `tf.TensorSpec` that `prepare` makes, without a batch axis.
        batch_size: examples a batch of this worker; the last batch may be smaller.
        shard: `(index, workers)`: a worker gets every `workers`-th example.
        skip_corrupt: leave examples out that cannot be read, instead of raising an error.
        skipped: optional `Skipped`, told of each such example.
        parallel: examples that are prepared at once in each of two batches; None: all cores.

    Returns:
        A `tf.data.Dataset` of `(inputs, targets)`.

    Raises:
        tf.errors.InvalidArgumentError: when run, naming it, on an example that cannot be read.

    Example:

    >>> evaluation_batches(source, prepare, specs, batch_size=50)
    """
    careful = careful_reader(specs, skip_corrupt, Skipped() if skipped is None else skipped)

    @traced_once
    def read(record):
        return _shaped(prepare(source.example_of(record), None), specs)

    def example(reader):
        return lambda record: reader(read, (record,), source.key_of(record))

    def batch_of(*records):
        (records,) = records  # a nest
        count = tf.shape(tf.nest.flatten(records)[0], tf.int64)[0]
        batch, readable = whole_batch(records, count, example, careful, parallel)
        if not skip_corrupt:
            return batch
        return tf.cond(
            tf.reduce_all(readable),
            lambda: batch,
            lambda: tf.nest.map_structure(lambda x: x[readable], batch),
        )

    records = source.records(None).shard(shard[1], shard[0])
    batches = in_order(records.batch(batch_size), batch_of, batch_size)
    if skip_corrupt:
        batches = batches.rebatch(batch_size)
    return batches.prefetch(2)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Which example goes where.

    Attributes:
        source: a `Source`.
        seed: int.
        steps: an epoch.
        batch_size: of the global batch.
        repeats: copies of an example.
        rows: places in the global batch that are this worker's, as they are made.
        place: the order in which they are used.
    """

    source: Source
    seed: int
    steps: int
    batch_size: int
    repeats: int
    rows: np.ndarray
    place: np.ndarray

    def records(self, start_step, epochs):
        """A data set of this worker's `(record, copy, epoch)`, one after the other."""
        first_epoch, first_step = divmod(start_step, self.steps)

        def epoch_of(epoch):
            begin = tf.constant(first_step * self.batch_size, tf.int64)
            begin = tf.where(epoch == first_epoch, begin, 0)
            records = self.source.records(stream_seed(self.seed, ORDER, epoch))
            count = self.steps * self.batch_size - begin
            placed = sequence(records, self.repeats, begin, count, self.rows, self.batch_size)
            return placed.map(lambda record, copy: (record, copy, epoch))

        return tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_of)

    def batches(self, batch_of, start_step, epochs):
        """A data set of `batch_of(step, records)` for each step."""
        placed = self.records(start_step, epochs).batch(len(self.rows), drop_remainder=True)
        batches = in_order(placed.enumerate(start_step), batch_of, len(self.rows))
        count = epochs * self.steps - start_step
        return batches.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)

    def seed_of(self, record, copy, epoch):
        """The seed of an example, int32 (2,)."""
        seed = stream_seed(self.seed, IMAGE, epoch)
        for number in (self.source.key_of(record)["index"], copy):
            seed = tf.random.experimental.stateless_fold_in(seed, number)
        return seed


def _example_of(plan, prepare, specs):
    """A function of a reader, see `whole_batch`: `(nest, readable, name)` of a record."""

    @traced_once
    def read(record, copy, epoch):
        seed = plan.seed_of(record, copy, epoch)
        return _shaped(prepare(plan.source.example_of(record), seed), specs)

    def example(reader):
        def of_record(record, copy, epoch):
            key = plan.source.key_of(record)
            return *reader(read, (record, copy, epoch), key), key["name"]

        return of_record

    return example


def _all_readable(batch, readable, names):
    """A batch in which readable rows took the place of the others."""
    return tf.cond(
        tf.reduce_all(readable),
        lambda: batch,
        lambda: replace_unreadable(batch, readable, names),
    )


def _mixed(plan, mix, batch, step):
    """The mixed rows of a batch, in the order in which replicas use them."""
    batch = mix(*batch, stream_seed(plan.seed, BATCH, step))
    if np.array_equal(plan.place, np.arange(len(plan.rows))):
        return batch
    return tf.nest.map_structure(lambda x: tf.gather(x, plan.place), batch)


def _shaped(nest, specs):
    """`nest` with the static shapes of `specs`."""
    return tf.nest.map_structure(lambda x, spec: tf.ensure_shape(x, spec.shape), nest, specs)


def _steps(source, batch_size, epochs, start_step):
    """Steps an epoch, once the arguments make sense."""
    if not 1 <= batch_size <= source.count:
        raise ValueError(
            f"`batch_size` must lie between 1 and the {source.count} examples of {source.name}. "
            f"Received: {batch_size}"
        )
    steps = source.count // batch_size
    if not 0 <= start_step <= epochs * steps:
        raise ValueError(
            f"`start_step` must lie between 0 and the {epochs * steps} steps. "
            f"Received: {start_step}"
        )
    return steps
