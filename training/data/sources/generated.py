"""Coloured shapes made on the spot: something to learn from without any data at hand."""

import numpy as np
import tensorflow as tf

from keras_regionvit.images.decode import with_channels
from training.data.sources.source import indexed_source, multi_hot

SHAPES = 4  # disc, square, cross, ring


def generated_source(classes, count, *, size=64, channels=3, multi_label=False, offset=0):
    """Pictures of a shape (disc, square, cross or ring) in a colour on a noisy ground.

    The class says the shape and the colour, so that a model can learn it; the place, the size,
    the ground and the noise differ from picture to picture and follow from its index alone.

    Args:
        classes: how many, at least 2.
        count: how many pictures.
        size: pixels a side.
        channels: 3 or 1; grey shows classes of one shape apart by their brightness.
        multi_label: draw none, one or two shapes, each with its class.
        offset: first index; other offsets give other pictures.

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
    shown = tf.constant(np.stack([indices % classes, indices * 7 // 3 % classes], 1), tf.int32)
    if multi_label:
        # an index shows its first class unless divisible by 5, its second if divisible by 2
        sets = [
            [shown[i, 0].numpy()] * (n % 5 > 0) + [shown[i, 1].numpy()] * (n % 2 == 0)
            for i, n in enumerate(indices.tolist())
        ]
        labels = multi_hot(sets, classes)
    else:
        labels = indices % classes

    def image_of(index):
        number = index + offset
        seed = tf.random.experimental.stateless_fold_in(tf.constant([7, 3]), number)
        draws = tf.random.stateless_uniform((12,), seed)
        image = 60 + 60 * draws[:3] + tf.random.stateless_normal((size, size, 3), seed, stddev=12)
        first = (number % 5 > 0) if multi_label else True
        second = (number % 2 == 0) if multi_label else False
        for item, on in enumerate((first, second)):
            label = shown[index, item]
            mask = shape(label % SHAPES, size, draws[3 + 3 * item : 6 + 3 * item])
            mask = tf.cast(mask & on, tf.float32)[..., None]
            image = image * (1 - mask) + colour(label // SHAPES, -(-classes // SHAPES)) * mask
        image = tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)
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
