"""Images that cannot be read: named in the error, or left out and counted."""

import collections
import os
import re

import tensorflow as tf

from training.data.sources.formats import KNOWN

MOST_WORDS = 60  # letters of TensorFlow's
UNREADABLE = (
    f" cannot be read as an image: it is missing, damaged, cut short, too large or not a {KNOWN}; "
    "mend it, remove it, or leave such images out with --skip-corrupt."
)


class Skipped:
    """The images that were left out because they could not be read.

    `names` maps the name of an image to how often it came up. Batches are made ahead of their
    use, so it may run ahead of the training.

    Example:

    >>> skipped = Skipped()
    >>> batches = training_batches(source, skip_corrupt=True, skipped=skipped, ...)
    >>> len(skipped.names)  # after some steps
    """

    def __init__(self):
        self.names: collections.Counter[str] = collections.Counter()

    def note(self, name):
        """Counts an image, inside of `tf.data`.

        Args:
            name: string scalar tensor.

        Returns:
            False, a boolean scalar tensor.
        """

        def count(name):
            self.names[os.fsdecode(name)] += 1
            return False

        # declared free of state: a stateful function would be run by one thread only
        noted = tf.numpy_function(count, [name], tf.bool, stateful=False)
        return tf.ensure_shape(noted, ())

    def __len__(self):
        """How many images."""
        return len(self.names)


def careful_reader(specs, skip_corrupt, skipped):
    """A reader for examples some of which cannot be read.

    Args:
        specs: nest of `tf.TensorSpec`s with static shapes: what is read of an example.
        skip_corrupt: whether an example that cannot be read gives zeros and False, instead of an
            error with its name.
        skipped: a `Skipped`, told of each such example.

    Returns:
        A function `(read, record, key)`, `key` being `Source.key_of` of the record, that gives
        `(nest of tensors, whether it could be read)`.

    Example:

    >>> careful_reader(tf.TensorSpec((224, 224, 3)), skip_corrupt=False, skipped=None)
    """

    def reader(read, record, key):
        zeros = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs)
        example, readable = read_or(lambda record: read(*record), record, zeros)
        if skip_corrupt:
            readable = tf.cond(readable, lambda: True, lambda: skipped.note(key["name"]))
            return example, readable
        with tf.control_dependencies([insist(readable, key["name"])]):
            return tf.nest.map_structure(tf.identity, example), readable

    return reader


def read_or(function, record, otherwise):
    """`function(record)`, or `otherwise` where that fails: `try` and `except` within `tf.data`.

    Args:
        function: of tensors, gives a nest of tensors.
        record: its argument, a nest of tensors.
        otherwise: a nest of tensors of the same structure, dtypes and shapes.

    Returns:
        `(nest, whether function succeeded)`.

    Example:

    >>> image, readable = read_or(tf.io.decode_jpeg, data, tf.zeros((8, 8, 3), tf.uint8))
    """
    tried = tf.data.Dataset.from_tensors((record,)).map(lambda record: (function(record), True))
    failed = tf.data.Dataset.from_tensors((otherwise, False))
    either = tried.ignore_errors(log_warning=False).concatenate(failed).take(1)
    return either.get_single_element()


def insist(readable, name):
    """Raises an error that names the image unless it is readable.

    Args:
        readable: boolean scalar.
        name: string scalar.

    Returns:
        `readable`.
    """
    text = tf.strings.join(
        [
            name,
            UNREADABLE,
        ]
    )
    with tf.control_dependencies([tf.debugging.Assert(readable, [text])]):
        return tf.identity(readable)


def replace_unreadable(batch, readable, names):
    """Puts the next readable example of the batch, going round, in the place of an unreadable one.

    So batches keep their size. It is the same augmented example twice.

    Args:
        batch: nest of tensors (B, ...).
        readable: boolean (B,).
        names: string (B,), for the error.

    Returns:
        The nest.

    Raises:
        tf.errors.InvalidArgumentError: when run, if none is readable.

    Example:

    >>> images, labels = replace_unreadable((images, labels), readable, names)
    """
    size = tf.size(readable)
    text = tf.strings.join(["No image of a batch can be read, the first of them ", names[0]])
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_any(readable), [text])]):
        places = tf.range(size)
    # how many steps from row to row, going round; unreadable ones are out of reach
    steps = (places[None, :] - places[:, None]) % size + tf.where(readable, 0, size)[None, :]
    nearest = tf.argmin(steps, axis=1)
    return tf.nest.map_structure(lambda rows: tf.gather(rows, nearest), batch)


def said(error):
    """What a TensorFlow error says: a sentence of this package first, if there is one in it.

    Args:
        error: a `tf.errors.OpError`, or another exception.

    Returns:
        One line of text. TensorFlow's own words are shortened where they follow a sentence.

    Example:

    >>> said(error)  # of a step that came to a damaged image
    'a/1.png cannot be read as an image: ... (TensorFlow: {{function_node __wrapped__Ite...)'
    """
    text = getattr(error, "message", None) or str(error)
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    found = re.search(r"assertion failed: \[(.*)\]", text)
    if found is None:
        return first
    words = " ".join(text.replace(found[0], "").split())
    return f"{found[1]} (TensorFlow: {words[:MOST_WORDS]}...)"
