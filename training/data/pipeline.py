"""From a source to batches: all that is random follows from seed, epoch, index and copy.

So a run can be repeated with any number of threads, and taken up again at any step.
"""

import numpy as np
import tensorflow as tf

from keras_regionvit.images.decode import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    evaluation_image,
)
from training.augmentation.crops import CROPS, training_image
from training.data.corrupt_images import Skipped, replace_unreadable
from training.data.reading import careful_reader, in_order, traced_once, whole_batch
from training.data.sampling import BATCH, IMAGE, ORDER, rows_of, sequence, stream_seed


def training_batches(
    source,
    *,
    image_size,
    batch_size,
    epochs,
    seed,
    start_step=0,
    repeats=1,
    crop="random_resized",
    shift_pixels=2,
    augment_image=None,
    augment_batch=None,
    shard=(0, 1),
    replicas=1,
    skip_corrupt=False,
    skipped=None,
    parallel=None,
):
    """Shuffled and augmented batches of all epochs, one after the other.

    An epoch has `source.count // batch_size` steps and shows that many batches of a new order;
    with `repeats` of 3 it shows a third of the pictures, three times each.

    Args:
        source: a `Source`.
        image_size: S.
        batch_size: pictures in the global batch.
        epochs: how often to go through the source.
        seed: int in [0, 2**31).
        start_step: steps that are left out at the start; they are not decoded.
        repeats: copies of a picture in an epoch, each augmented anew.
        crop: "random_resized", "shift" or "none"; see `training_image`.
        shift_pixels: for "shift".
        augment_image: optional function `(float32 (S, S, C) on 0..255, seed int32 (2,))` that
            gives float32 (S, S, C).
        augment_batch: optional function `(images, labels, seed)` that gives the first two, each
            row mixed with its mirror image in the batch, if any; all workers give the same seed.
        shard: `(index, workers)`: the worker and how many there are; a worker gets its contiguous
            part of each global batch.
        replicas: in how many contiguous parts the global batch is used, over all workers. Its
            pictures, mixed or not, do not depend on that, only their order does.
        skip_corrupt: put another picture of the worker's part in the place of one that cannot be
            read, instead of raising an error. A batch with such a picture takes twice the time.
        skipped: optional `Skipped`, told of each such picture.
        parallel: pictures of a batch that are prepared at once, while those of another batch are,
            too; as many as there are cores if None.

    Returns:
        A `tf.data.Dataset` of pairs `(float32 (b, S, S, C), float32 (b, classes))`, b being
        `batch_size / workers`.

    Raises:
        ValueError: an argument makes no sense.
        tf.errors.InvalidArgumentError: when run, on a label outside the classes or, naming it, a
            picture that cannot be read.

    Example:

    >>> source = open_source("folder", "train", data="flowers")
    >>> training_batches(source, image_size=224, batch_size=64, epochs=3, seed=0)
    """
    if not 1 <= batch_size <= source.count:
        raise ValueError(
            f"`batch_size` must lie between 1 and the {source.count} pictures of {source.name}. "
            f"Received: {batch_size}"
        )
    if crop not in CROPS:
        raise ValueError(f"`crop` must be one of {', '.join(CROPS)}. Received: {crop!r}")
    steps = source.count // batch_size
    if not 0 <= start_step <= epochs * steps:
        raise ValueError(
            f"`start_step` must lie between 0 and the {epochs * steps} steps. Got: {start_step}"
        )
    mixed = augment_batch is not None
    dealt = rows_of(batch_size, repeats=repeats, replicas=replicas, shard=shard, pairs=mixed)
    rows = np.sort(dealt) if mixed else dealt  # mirror images of the batch are so of the part
    place = np.searchsorted(rows, dealt)
    first_epoch, first_step = divmod(start_step, steps)
    skipped = Skipped() if skipped is None else skipped

    def epoch_of(epoch):
        begin = tf.where(epoch == first_epoch, tf.constant(first_step * batch_size, tf.int64), 0)
        records = source.records(stream_seed(seed, ORDER, epoch))
        count = steps * batch_size - begin
        placed = sequence(records, repeats, begin, count, rows, batch_size)
        return placed.map(lambda record, copy: (record, copy, epoch))

    def seeds(record, copy, epoch):
        seed_of_image = stream_seed(seed, IMAGE, epoch)
        for number in (source.facts_of(record)["index"], copy):
            seed_of_image = tf.random.experimental.stateless_fold_in(seed_of_image, number)
        return tf.unstack(tf.random.split(seed_of_image, 2))

    @traced_once
    def read(record, copy, epoch):
        return training_image(
            source.image_of(record),
            seeds(record, copy, epoch)[0],
            size=image_size,
            channels=source.channels,
            crop=crop,
            shift_pixels=shift_pixels,
        )

    augment = None if augment_image is None else traced_once(augment_image)

    def example(reader):
        def example(record, copy, epoch):
            facts = source.facts_of(record)
            image, readable = reader(read, (record, copy, epoch), facts)
            image = tf.ensure_shape(image, (image_size, image_size, source.channels))
            if augment is not None:
                image = augment(image, seeds(record, copy, epoch)[1])
            return image, label_row(source, facts), readable, facts["name"]

        return example

    careful = careful_reader(source, image_size, skip_corrupt, skipped)

    def batch_of(step, records):
        return finish(step, *whole_batch(records, len(rows), example, careful, parallel))

    def finish(step, images, labels, readable, names):
        if skip_corrupt:
            images, labels = tf.cond(
                tf.reduce_all(readable),
                lambda: (images, labels),
                lambda: replace_unreadable(images, labels, readable, names),
            )
        if augment_batch is None:
            return images, labels
        images, labels = augment_batch(images, labels, stream_seed(seed, BATCH, step))
        if np.array_equal(place, np.arange(len(rows))):
            return images, labels
        return tf.gather(images, place), tf.gather(labels, place)

    placed = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_of)
    placed = placed.batch(len(rows), drop_remainder=True).enumerate(start_step)
    batches = in_order(placed, batch_of, len(rows))
    count = epochs * steps - start_step
    return batches.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)


def evaluation_batches(
    source,
    *,
    image_size,
    batch_size,
    crop_ratio=224 / 256,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    shard=(0, 1),
    skip_corrupt=False,
    skipped=None,
    parallel=None,
):
    """All pictures in their natural order, as `evaluation_image` makes them.

    Args:
        source: a `Source`.
        image_size: S.
        batch_size: pictures a batch of this worker; the last batch may be smaller.
        crop_ratio: share of the shorter side that is kept.
        mean: of each channel, on 0..255.
        std: likewise.
        shard: `(index, workers)`: a worker gets every `workers`-th picture.
        skip_corrupt: leave pictures out that cannot be read, instead of raising an error.
        skipped: optional `Skipped`, told of each such picture.
        parallel: pictures of a batch that are prepared at once, while those of another batch are,
            too; as many as there are cores if None.

    Returns:
        A `tf.data.Dataset` of pairs `(float32 (b, S, S, C), float32 (b, classes))`.

    Raises:
        tf.errors.InvalidArgumentError: when run, on a label outside the classes or, naming it, a
            picture that cannot be read.

    Example:

    >>> evaluation_batches(source, image_size=224, batch_size=50)
    """
    skipped = Skipped() if skipped is None else skipped

    @traced_once
    def read(record):
        return evaluation_image(source.image_of(record), image_size, crop_ratio, mean, std)

    def example(reader):
        def example(record):
            facts = source.facts_of(record)
            image, readable = reader(read, (record,), facts)
            image = tf.ensure_shape(image, (image_size, image_size, source.channels))
            return image, label_row(source, facts), readable

        return example

    careful = careful_reader(source, image_size, skip_corrupt, skipped)

    def batch_of(*records):
        (records,) = records  # a nest
        count = tf.shape(tf.nest.flatten(records)[0], tf.int64)[0]
        images, labels, readable = whole_batch(records, count, example, careful, parallel)
        if not skip_corrupt:
            return images, labels
        return tf.cond(
            tf.reduce_all(readable),
            lambda: (images, labels),
            lambda: (images[readable], labels[readable]),
        )

    records = source.records(None).shard(shard[1], shard[0])
    batches = in_order(records.batch(batch_size), batch_of, batch_size)
    if skip_corrupt:
        batches = batches.rebatch(batch_size)
    return batches.prefetch(2)


def label_row(source, facts):
    """float32 (classes,): the label of a picture.

    Raises:
        tf.errors.InvalidArgumentError: when run, on a label outside the classes.
    """
    label, classes = facts["label"], len(source.class_names)
    if source.multi_label:
        return tf.ensure_shape(label, (classes,))
    number = tf.strings.as_string(label)
    text = [facts["name"], " has the label ", number, f", outside the {classes} classes."]
    text = tf.strings.join(text)
    inside = tf.debugging.Assert((label >= 0) & (label < classes), [text])
    with tf.control_dependencies([inside]):
        return tf.one_hot(label, classes)
