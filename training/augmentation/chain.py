"""What recipes use: the layers one after the other, as plain functions of tensors and a seed."""

import tensorflow as tf

from training.augmentation.choice import RandAugment, RandomChoice
from training.augmentation.layer import IMAGES, SEEDS
from training.augmentation.mixing import LABELS, CutMix, MixUp
from training.augmentation.pixels import like, row_of, rows, size
from training.augmentation.placement import unmoved
from training.augmentation.seeds import split
from training.augmentation.simple import ColorJitter, RandomErasing, RandomFlip


def image_augmentation(
    *,
    auto_augment="rand-m9-mstd0.5-inc1",
    color_jitter=0.4,
    flip=0.5,
    erasing=0.25,
    mean,
    std,
    channels=3,
):
    """The augmentation of one image: flip, RandAugment or colour jitter, normalise, erase.

    Args:
        auto_augment: a RandAugment setting (see `RandAugment`) or None.
        color_jitter: strength (see `ColorJitter`), used where `auto_augment` is None; 0 for none.
        flip: how often to mirror left to right.
        erasing: how often to cover a box with noise.
        mean: a number a channel on 0..255; also the colour beside moved images.
        std: a number a channel on 0..255.
        channels: 3 or 1. A grey image has no saturation to change; all else is as in colour.

    Returns:
        A function `(image (H, W, channels) on 0..255, seed int32 (2,)) -> (float32 (H, W,
        channels), placement)`, normalised, with the `Placement` of the image given. Images that
        are not whole numbers are rounded to such first.

    Raises:
        ValueError: a setting is out of range, or `mean` or `std` does not fit `channels`.

    Example:

    >>> augment = image_augmentation(mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
    >>> dataset.map(lambda image, seed: augment(image, seed))
    """
    check_shares(flip=flip, erasing=erasing)
    if channels not in (1, 3):
        raise ValueError(f"`channels` must be 3 or 1. Received: {channels}")
    mean, std = per_channel("mean", mean, channels), per_channel("std", std, channels)
    if min(std) <= 0:
        raise ValueError(f"`std` must be above 0. Received: {std}")
    before, after = [], []
    if flip:
        before.append(RandomFlip(flip))
    if auto_augment:
        fill = [min(255, round(value)) for value in mean]
        before.append(RandAugment(auto_augment, fill=fill))
    elif color_jitter:
        before.append(ColorJitter(color_jitter))
    if erasing:
        after.append(RandomErasing(erasing))

    def augment(image, seed):
        image, seed = tf.convert_to_tensor(image), tf.convert_to_tensor(seed)
        image = tf.cast(image, tf.float32) if image.dtype.is_integer else tf.round(image)
        seeds = split(seed, len(before) + len(after))
        image, placement = run(before, image, seeds)
        image, _ = run(after, normalize(image, mean, std), seeds[len(before) :])
        return image, placement

    return augment


def batch_augmentation(*, mixup=0.8, cutmix=1.0, switch_probability=0.5):
    """The augmentation of one batch: MixUp or CutMix, the same for all of its images.

    Args:
        mixup: alpha of MixUp's beta distribution; 0 for no MixUp.
        cutmix: alpha of CutMix's beta distribution; 0 for no CutMix.
        switch_probability: how often to take CutMix, where both are there.

    Returns:
        A function `(images (B, H, W, C), labels float32 (B, classes), seed int32 (2,)) ->
        (images, labels)` of the same shapes. Image i is mixed with image B-1-i.

    Raises:
        ValueError: a setting is out of range.

    Example:

    >>> mix = batch_augmentation()
    >>> batches.map(lambda images, labels, seed: mix(images, labels, seed))
    """
    check_shares(switch_probability=switch_probability)
    for name, alpha in (("mixup", mixup), ("cutmix", cutmix)):
        if alpha < 0:
            raise ValueError(f"`{name}` must be 0 or above. Received: {alpha}")
    if not (mixup or cutmix):
        return lambda images, labels, seed: (images, labels)
    if mixup and cutmix:
        share = [1 - switch_probability, switch_probability]
        layer = RandomChoice([MixUp(mixup), CutMix(cutmix)], share, batchwise=True)
    else:
        layer = MixUp(mixup) if mixup else CutMix(cutmix)

    def augment(images, labels, seed):
        images = tf.cast(images, tf.float32)
        outputs = layer({IMAGES: images, LABELS: labels, SEEDS: tf.convert_to_tensor(seed)})
        return outputs[IMAGES], outputs[LABELS]

    return augment


def normalize(image, mean, std):
    """(image - mean) / std by channel, float32 (H, W, C)."""
    scale = row_of([1 / value for value in std], image)
    offset = row_of([-m / s for m, s in zip(mean, std, strict=True)], image)
    return like(rows(image) * scale + offset, image)


def run(layers, image, seeds):
    """Passes an image through layers, each with a seed of its own, the first ones of `seeds`.

    Returns:
        `(image, placement)`.
    """
    placement = unmoved()
    for layer, seed in zip(layers, seeds, strict=False):
        transformation = layer.draw(seed)
        placement = placement.then(layer.placement_of(transformation, size(image)[:2]))
        image = layer.augment_image(image, transformation)
    return image, placement


def per_channel(name, values, channels):
    """A tuple with a float for each channel, or a ValueError that names the argument."""
    values = (values,) if isinstance(values, int | float) else values
    values = tuple(float(value) for value in values)
    if len(values) != channels:
        raise ValueError(
            f"`{name}` must have {channels} numbers, one a channel, on 0..255. Received: {values}"
        )
    return values


def check_shares(**shares):
    """Raises a ValueError for the first share that is not on 0..1."""
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"`{name}` must lie between 0 and 1. Received: {share}")
