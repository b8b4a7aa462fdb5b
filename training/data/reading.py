"""Batches of examples, read quickly, and once more with care where that fails.

To catch an error example by example (`corrupt_images.read_or`) takes a quarter of the time that
making an image does. So it is caught batch by batch, and a batch that fails is made again, example
by example.
"""

import os

import tensorflow as tf

from training.augmentation.branches import in_cluster


def whole_batch(records, count, example, careful, parallel):
    """A batch of examples.

    Args:
        records: nest of tensors, each with `count` rows.
        count: int, or an int64 scalar tensor.
        example: function of a reader, gives a function of a record that gives a nest of tensors. A
            reader is a function `(read, record, key)`: `read(*record)`, and whether that worked.
        careful: the reader to take where an error ends the batch otherwise.
        parallel: records that are worked on at once; as many as there are cores if None.

    Returns:
        The nest, each tensor with a first axis of `count`.

    Example:

    >>> careful = careful_reader(specs, skip_corrupt=True, skipped=Skipped())
    >>> images, readable = whole_batch(records, 8, example, careful, parallel=4)
    """
    parallel = parallel or cores()  # here AUTOTUNE would stay at 16
    records = tf.data.Dataset.from_tensor_slices(records)
    quick, careful = (
        records.map(example(reader), num_parallel_calls=parallel, deterministic=True)
        # of the records after a failed one no batch is made
        .batch(count, drop_remainder=True)
        for reader in (read_plainly, careful)
    )
    # the second is not begun unless the first ends early
    either = quick.ignore_errors(log_warning=False).concatenate(careful).take(1)
    return either.get_single_element()


def read_plainly(read, record, key):
    """`(read(*record), True)`, or the error that reading raises."""
    return read(*record), True


def cores():
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(elements, function, rows):
    """`elements.map(function)`, two calls at once; more where `rows` leave cores without work."""
    calls = max(2, -(-cores() // rows))
    return elements.map(function, num_parallel_calls=calls, deterministic=True)


def traced_once(function):
    """A function that is put into graphs as a call; in a cluster as it is.

    There `tf.data` would place what is called on the first machine.
    """
    return function if in_cluster() else tf.function(function)
