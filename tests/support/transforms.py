"""Transforms of one image, as functions `(image, seed) -> (image, placement)`."""

import functools
import io

import tensorflow as tf
from PIL import Image

from training import augmentation
from training.augmentation import crops
from training.augmentation.placement import unmoved

SIDES = (61, 97)  # rows and columns


def crop(kind, size):
    return functools.partial(crops.training_image, size=size, channels=3, crop=kind, shift_pixels=7)


def layer(made):
    def transform(image, seed):
        drawn = made.draw(seed)
        size = image.shape[:2]
        return made.augment_image(image, drawn), made.placement_of(drawn, size)

    return transform


def chain(*transforms):
    def transform(image, seed):
        placement = unmoved()
        for number, one in enumerate(transforms):
            image, moved = one(image, seed + number)
            placement = placement.then(moved)
        return image, placement

    return transform


def operation(name):
    return layer(augmentation.RandomOperation(name, fill=(0, 0, 0)))


FLIP = layer(augmentation.RandomFlip(0.5))
MOVES = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
OF_FLOATS = {"flip": FLIP, **{name: operation(name) for name in MOVES}}
TRANSFORMS = {
    **OF_FLOATS,
    "random_resized": crop("random_resized", 47),
    "shift": crop("shift", 47),
    "none": crop("none", 83),
    "all": chain(crop("random_resized", 59), FLIP, operation("ShearY"), operation("Rotate")),
    "chain": chain(
        crop("shift", 53),
        augmentation.image_augmentation(
            auto_augment=None, color_jitter=0, erasing=0, mean=(0, 0, 0), std=(1, 1, 1)
        ),
        operation("TranslateX"),
    ),
}


def jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image.astype("uint8")).save(file, "JPEG", quality=95, subsampling=0)
    return tf.constant(file.getvalue())
