"""Coloured shapes made on the spot: something to learn from without any data at hand."""

import numpy as np
import tensorflow as tf

from keras_regionvit.images.decode import with_channels
from training.data.sources.source import indexed_source, multi_hot

SHAPES = 4  # disc, square, cross, ring


def generated_source(classes, count, *, size=64, channels=3, multi_label=False, offset=0):
    """Images of a shape (disc, square, cross or ring) in a colour on a noisy ground.

    The class says the shape and the colour, so that a model can learn it; the place, the size,
    the ground and the noise differ from image to image and follow from its index alone.

    Args:
        classes: how many, at least 2.
        count: how many images.
        size: pixels a side.
        channels: 3 or 1; grey shows classes of one shape apart by their brightness.
        multi_label: draw none, one or two shapes, each with its class.
        offset: first index; other offsets give other images.

    Returns:
        A `Source`.

    Raises:
        ValueError: `classes`, `count` or `size` is too small.

    Example:

    >>> generated_source(10, 100, size=32).count
    100
    """
    for name, value, least in (("classes", classes, 2), ("count", count, 1), ("size", size, 8)):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {value}")
    indices = np.arange(offset, offset + count)
    pairs = np.stack([indices % classes, indices * 7 // 3 % classes], 1)
    labels = indices % classes
    if multi_label:
        # an index shows its first class unless divisible by 5, its second if divisible by 2
        shown = np.stack([indices % 5 > 0, indices % 2 == 0], 1)
        labels = multi_hot([pair[on] for pair, on in zip(pairs, shown, strict=True)], classes)
    else:
        shown = np.broadcast_to([True, False], pairs.shape)
    pairs, shown = tf.constant(pairs, tf.int32), tf.constant(shown)

    def image_of(index):
        image = draw(index + offset, pairs[index], shown[index], classes, size)
        return with_channels(image, channels)

    return indexed_source(
        "generated",
        [f"shape {label}" for label in range(classes)],
        labels,
        channels=channels,
        image_of=image_of,
        name_of=lambda index: tf.strings.join(
            ["generated image ", tf.strings.as_string(index + offset)]
        ),
        multi_label=multi_label,
    )


def draw(number, labels, shown, classes, size):
    """One image with up to two shapes, the second over the first.

    Args:
        number: int64 (), from which place, size, ground and noise follow.
        labels: int32 (2,), the classes of both.
        shown: boolean (2,), which of them to draw.
        classes: how many classes there are.
        size: pixels a side.

    Returns:
        uint8 (size, size, 3).
    """
    seed = tf.random.experimental.stateless_fold_in(tf.constant([7, 3]), number)
    draws = tf.random.stateless_uniform((12,), seed)
    image = 60 + 60 * draws[:3] + tf.random.stateless_normal((size, size, 3), seed, stddev=12)
    for item in range(2):
        label = labels[item]
        mask = shape(label % SHAPES, size, draws[3 + 3 * item : 6 + 3 * item])
        mask = tf.cast(mask & shown[item], tf.float32)[..., None]
        image = image * (1 - mask) + colour(label // SHAPES, -(-classes // SHAPES)) * mask
    return tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)


def shape(kind, size, draws):
    """Boolean (size, size): a shape in the place that three numbers in [0, 1) say."""
    radius = size * (0.18 + 0.1 * draws[0])
    middle = radius + (size - 2 * radius) * draws[1:]
    line = tf.range(size, dtype=tf.float32) + 0.5
    down, right = line[:, None] - middle[0], line[None, :] - middle[1]
    distance = tf.sqrt(down**2 + right**2)
    far, near = tf.maximum(abs(down), abs(right)), tf.minimum(abs(down), abs(right))
    shapes = [
        distance < radius,
        far < 0.8 * radius,
        (far < radius) & (near < 0.3 * radius),
        (distance < radius) & (distance > 0.6 * radius),
    ]
    return tf.gather(tf.stack(shapes), kind)


def colour(number, count):
    """float32 (3,): one of `count` hues, of differing brightness."""
    share = tf.cast(number, tf.float32) / count
    hsv = tf.stack([share * 0.8, 0.9 - 0.3 * share, 1.0 - 0.35 * share])
    return 255 * tf.image.hsv_to_rgb(hsv)
