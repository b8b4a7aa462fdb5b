"""What becomes of a single image before the model, by a recipe.

S side of an image.
"""

import tensorflow as tf

from keras_regionvit.images.preprocessing import evaluation_image


def middle(recipe):
    """A function `(image, seed)` that gives the image as evaluation has it, (S, S, channels)."""
    mean, std = statistics(recipe)

    def prepare(image, seed):
        return evaluation_image(
            image, recipe.data.image_size, recipe.evaluate.crop_ratio, mean, std
        )

    return prepare


def augmented(recipe):
    """A function `(image, seed int32 (2,))` that gives the image as training has it."""
    # here: keras-cv takes seconds to import, which only training needs
    from training.augmentation import image_augmentation
    from training.augmentation.crops import training_image

    size, channels = recipe.data.image_size, recipe.data.channels
    mean, std = statistics(recipe)
    augment = image_augmentation(
        auto_augment=recipe.augment.auto_augment or None,
        color_jitter=recipe.augment.color_jitter,
        flip=recipe.augment.flip,
        erasing=recipe.augment.erasing,
        mean=mean,
        std=std,
        channels=channels,
    )

    def prepare(image, seed):
        seeds = tf.unstack(tf.random.split(seed, 2))
        image, _ = training_image(
            image,
            seeds[0],
            size=size,
            channels=channels,
            crop=recipe.augment.crop,
            shift_pixels=recipe.augment.shift_pixels,
        )
        return augment(tf.ensure_shape(image, (size, size, channels)), seeds[1])[0]

    return prepare


def statistics(recipe):
    """`(mean, std)` of the pipeline; a model with a border normalises by itself."""
    if recipe.model.border:
        return (0.0,) * recipe.data.channels, (1.0,) * recipe.data.channels
    return recipe.data.mean, recipe.data.std
