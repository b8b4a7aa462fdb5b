"""What tests of the augmentation share."""

import importlib.util
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image

FILL = (124, 116, 104)


SCALE = {"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}


def photo(name="astronaut", size=(90, 70)):
    """A photo of scikit-image, (W, H); else an image with smooth colours, edges and noise."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        rng = np.random.default_rng(0)
        y, x = np.mgrid[: size[1], : size[0]]
        waves = np.stack([np.sin(x / 9 + y / 23), np.cos(y / 7), np.sin(x * y / 400)], -1)
        image = 110 + 90 * waves + 30 * (x > 40)[..., None] + rng.normal(0, 9, waves.shape)
        return Image.fromarray(image.clip(3, 251).astype("uint8"))
    file = pathlib.Path(spec.origin).parent / "data" / f"{name}.png"
    return Image.open(file).convert("RGB").resize(size)


def as_tensor(image):
    array = np.asarray(image, "float32")
    return tf.constant(array if array.ndim == 3 else array[..., None])


def seeds(count, first=5):
    return tf.stack([tf.fill([count], first), tf.range(count)], 1)


def each(function, count, signature, first=5):
    """What `function` gives for each of many seeds, computed in one graph."""
    run = tf.function(
        lambda: tf.map_fn(function, seeds(count, first), fn_output_signature=signature)
    )
    return tf.nest.map_structure(lambda numbers: numbers.numpy(), run())
