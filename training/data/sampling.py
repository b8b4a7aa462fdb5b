"""Which example goes where: seeds, copies, and a worker's rows of the global batch."""

import numpy as np
import tensorflow as tf

from training.distribute.replicas import check_pairs

ORDER, IMAGE, BATCH = range(3)  # streams of random numbers that never meet


def stream_seed(seed, stream, number):
    """A seed for one of the streams.

    Args:
        seed: int in [0, 2**31), the run's.
        stream: `ORDER`, `IMAGE` or `BATCH`.
        number: int or integer tensor, such as the epoch.

    Returns:
        int32 (2,).

    Example:

    >>> stream_seed(0, ORDER, 3)
    """
    return tf.random.experimental.stateless_fold_in(tf.constant([seed, stream], tf.int32), number)


def rows_of(batch_size, *, repeats=1, replicas=1, shard=(0, 1), pairs=False):
    """Which places of an epoch's sequence make up a worker's part of a batch, row by row.

    The sequence shows each example `repeats` times in succession. It is dealt out to the
    replicas in turn, as timm's RepeatAugSampler does, so that copies fall on different replicas.
    Which examples a global batch holds depends neither on replicas nor on workers.

    Args:
        batch_size: examples in the global batch.
        repeats: copies of an example.
        replicas: contiguous parts of the global batch.
        shard: `(index, workers)`.
        pairs: whether each worker needs the mirror image in the batch, `batch_size - 1 - place`,
            of each of its places, to mix the two.

    Returns:
        int64 (batch_size / workers,), in [0, batch_size).

    Raises:
        ValueError: the numbers do not fit together.

    Example:

    >>> rows_of(6, repeats=3, replicas=3)
    array([0, 3, 1, 4, 2, 5])
    """
    index, workers = shard
    if not 0 <= index < workers:
        raise ValueError(f"`shard` must be (index, workers), 0 <= index < workers. Got: {shard}")
    for name, parts in (("replicas", replicas), ("workers", workers)):
        if parts < 1 or batch_size % parts:
            raise ValueError(
                f"`batch_size` must be a multiple of the {name}. Received: {batch_size} and {parts}"
            )
    places = np.arange(batch_size)
    if (repeats > 1 or pairs) and replicas % workers:
        raise ValueError(
            f"`replicas` must be a multiple of the workers. Received: {replicas} and {workers}"
        )
    if pairs:
        check_pairs(batch_size, replicas, workers)
    whole = batch_size % (2 * replicas) == 0
    if pairs and whole and replicas > 1:  # copies and pairs: dealt from both ends at once
        replica = np.minimum(places, batch_size - 1 - places) % replicas
        places = np.argsort(replica, stable=True)
    elif repeats > 1:
        places = places.reshape(-1, replicas).T.reshape(-1)
    return places.reshape(workers, -1)[index]


def sequence(records, repeats, begin, count, rows, batch_size):
    """A part of an epoch's sequence, as far as it belongs to this worker.

    Args:
        records: a `tf.data.Dataset` of records in the epoch's order.
        repeats: copies of a record in succession.
        begin: places of the sequence to pass over, a multiple of `batch_size`.
        count: how many places to take after that, likewise.
        rows: what `rows_of` gives.
        batch_size: examples in the global batch.

    Returns:
        A `tf.data.Dataset` of `(record, copy int64 ())`.
    """
    records = records.skip(begin // repeats)
    if repeats == 1:
        placed = records.map(lambda record: (record, tf.constant(0, tf.int64)))
    else:
        placed = records.flat_map(
            lambda record: tf.data.Dataset.range(repeats).map(lambda copy: (record, copy))
        ).skip(begin % repeats)
    placed = placed.take(count)
    if np.array_equal(rows, np.arange(batch_size)):
        return placed

    def mine(*fields):
        return tf.nest.map_structure(lambda field: tf.gather(field, rows), fields)

    return placed.batch(batch_size, drop_remainder=True).map(mine).unbatch()
