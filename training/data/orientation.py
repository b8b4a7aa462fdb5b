"""Batches of one orientation: images of more rows than columns, and all others.

Both have batches of their own, so that each canvas fits its images and shapes stay static. How many
batches of each an epoch has follows from the data, their order from seed and epoch: so a training
can be taken up again at any step.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from training.data.sampling import ORDER, stream_seed
from training.data.sources.source import shuffled_range


def parts_of(source):
    """The two parts of a source by orientation, without those that have no images.

    Args:
        source: a `training.data.sources.source.Source` that knows the `sizes` of its images.

    Returns:
        A list of `(portrait, source)`, a bool and a `Source` whose records are those of `source`.

    Raises:
        ValueError: the sizes are not known.

    Example:

    >>> [(portrait, part.count) for portrait, part in parts_of(source)]
    [(False, 700), (True, 300)]
    """
    if source.sizes is None:
        raise ValueError(
            f"{source.name} does not say the sizes of its images before they are read, which "
            "batches by orientation need; use a folder, such as --data coco:FOLDER, or a square "
            "canvas"
        )
    upright = source.sizes[:, 0] > source.sizes[:, 1]
    found = [(value, np.flatnonzero(upright == value)) for value in (False, True)]
    return [(value, _picked(source, indices)) for value, indices in found if len(indices)]


def _picked(source, indices):
    """The part of a source with those indices, an int array."""
    table = tf.constant(indices, tf.int64)

    def records(epoch_seed):
        return shuffled_range(len(indices), epoch_seed).map(lambda i: tf.gather(table, i))

    return dataclasses.replace(
        source, records=records, count=len(indices), sizes=source.sizes[indices]
    )


def whole_batches(source, batch_size):
    """A source with as many records an epoch as batches hold, at least one batch.

    The number of batches is rounded. Where the last would not be full, images are shown again, with
    other random numbers; where less than half of it would be, what is left over in the epoch's
    order is left out.

    Args:
        source: a `Source` whose records are indices.
        batch_size: int.

    Returns:
        A `Source`.

    Example:

    >>> whole_batches(source, 8).count  # of 13 images
    16
    """
    turns = tf.constant(1 + int(np.iinfo("int32").max), tf.int64)  # above any index
    count = max(1, (source.count + batch_size // 2) // batch_size) * batch_size

    def records(epoch_seed):
        again = source.records(epoch_seed).repeat(-(-count // source.count)).take(count)
        return again.enumerate().map(lambda i, index: index + turns * (i // source.count))

    def key_of(record):
        return {"index": record, "name": source.key_of(record % turns)["name"]}

    return dataclasses.replace(
        source,
        records=records,
        count=count,
        example_of=lambda record: source.example_of(record % turns),
        key_of=key_of,
    )


def alternating(batches, steps, *, epochs, seed, start_step=0):
    """Batches of several kinds in a drawn order, each kind as often in an epoch as it has steps.

    Args:
        batches: for each kind a function of a step of that kind that gives a `tf.data.Dataset` of
            its batches from there on, over all epochs.
        steps: of each kind in an epoch, ints.
        epochs: int.
        seed: int, the run's.
        start_step: steps of all kinds that are left out at the start.

    Returns:
        A `tf.data.Dataset` of as many batches as are left.

    Example:

    >>> alternating([landscapes_from, portraits_from], [70, 30], epochs=12, seed=0)
    """
    kinds = tf.constant(np.repeat(np.arange(len(steps)), steps), tf.int64)
    first_epoch, first_step = divmod(start_step, sum(steps))

    def order_of(epoch):
        return tf.random.experimental.stateless_shuffle(kinds, stream_seed(seed, ORDER, epoch))

    begin = tf.constant(first_epoch, tf.int64)  # as below: a seed depends on the number's type
    before = np.bincount(order_of(begin)[:first_step].numpy(), minlength=len(steps))
    begun = [
        from_step(first_epoch * count + int(done))
        for from_step, count, done in zip(batches, steps, before, strict=True)
    ]
    choice = tf.data.Dataset.range(first_epoch, epochs).flat_map(
        lambda epoch: tf.data.Dataset.from_tensor_slices(order_of(epoch))
    )
    chosen = tf.data.Dataset.choose_from_datasets(
        begun, choice.skip(first_step), stop_on_empty_dataset=False
    )
    return chosen.apply(tf.data.experimental.assert_cardinality(epochs * sum(steps) - start_step))
