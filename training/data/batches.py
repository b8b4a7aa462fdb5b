"""Batches of images in memory as `tf.data`, the same for the same seed on any machine."""

import numpy as np
import tensorflow as tf


def training_batches(images, labels, *, batch_size, epochs, classes, seed, augment=None):
    """Shuffled and augmented batches of all epochs, one after the other.

    Order and augmentation follow from `(seed, epoch, index of the image)` alone: they depend
    neither on threads nor on what was drawn before. An epoch's remainder below a batch is left
    out; which images that hits changes from epoch to epoch.

    Args:
        images: uint8 (N, H, W, channels).
        labels: integers (N,) in [0, classes).
        batch_size: images a batch, at most N.
        epochs: how many times to go through the images.
        classes: width of the one-hot labels.
        seed: int in [0, 2**31).
        augment: optional function `(image uint8 (H, W, channels), seed int32 (2,)) -> image`.

    Returns:
        A `tf.data.Dataset` of `epochs * (N // batch_size)` pairs `(float32 (batch_size, H, W,
        channels) on 0..255, float32 (batch_size, classes))`.

    Raises:
        ValueError: `batch_size` exceeds the number of images.

    Example:

    >>> training_batches(images, labels, batch_size=50, epochs=3, classes=10, seed=0)
    """
    count = len(images)
    if not 1 <= batch_size <= count:
        raise ValueError(
            f"`batch_size` must lie between 1 and the {count} images. Received: {batch_size}"
        )
    images, labels = tf.constant(images), tf.constant(np.asarray(labels), "int32")

    def epoch_of(epoch):
        order_seed = tf.stack([tf.constant(seed, tf.int32), tf.cast(epoch, tf.int32)])
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=order_seed)
        # drawn apart from the order, which uses the seed itself
        epoch_seed = tf.random.experimental.stateless_fold_in(order_seed, -1)

        def example(index):
            image = images[index]
            if augment is not None:
                image = augment(image, tf.random.experimental.stateless_fold_in(epoch_seed, index))
            return tf.cast(image, tf.float32), tf.one_hot(labels[index], classes)

        examples = tf.data.Dataset.from_tensor_slices(order)
        examples = examples.map(example, num_parallel_calls=2, deterministic=True)
        return examples.batch(batch_size, drop_remainder=True)

    return tf.data.Dataset.range(epochs).flat_map(epoch_of).prefetch(4)


def evaluation_batches(images, labels, *, batch_size, classes):
    """All images in order, as they are.

    Args:
        images: uint8 (N, H, W, channels).
        labels: integers (N,) in [0, classes).
        batch_size: images a batch; the last one may be smaller.
        classes: width of the one-hot labels.

    Returns:
        A `tf.data.Dataset` of pairs `(float32 (B, H, W, channels) on 0..255, float32 (B,
        classes))`.

    Example:

    >>> evaluation_batches(images, labels, batch_size=250, classes=10)
    """
    images = tf.data.Dataset.from_tensor_slices((images, np.asarray(labels)))
    return images.batch(batch_size).map(
        lambda image, label: (tf.cast(image, tf.float32), tf.one_hot(label, classes))
    )
