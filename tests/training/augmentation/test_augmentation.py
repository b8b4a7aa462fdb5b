"""Layers and their chain: against Pillow, against probability theory, by their own promises."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import ImageEnhance

from tests.support.augmented import SCALE, as_tensor, each, photo, seeds
from training import augmentation
from training.augmentation import mixing


def test_same_seed_same_image_in_any_number_of_threads():
    augment, image = augmentation.image_augmentation(**SCALE), as_tensor(photo())

    def images(threads):
        dataset = tf.data.Dataset.from_tensor_slices(tf.concat([seeds(40), seeds(40, 6)], 0))
        dataset = dataset.map(lambda seed: augment(image, seed)[0], num_parallel_calls=threads)
        return np.stack(list(dataset.as_numpy_iterator()))

    one = images(1)
    np.testing.assert_array_equal(one, images(8))
    assert (one[:40] != one[40:]).any((1, 2, 3)).mean() > 0.7  # some are left as they are


LAYERS = {
    "RandAugment": lambda: augmentation.RandAugment("rand-m7-n3-mstd0.5-inc1", fill=(1, 2, 3)),
    "RandomOperation": lambda: augmentation.RandomOperation("Rotate", magnitude=4.0),
    "RandomFlip": lambda: augmentation.RandomFlip(0.4),
    "ColorJitter": lambda: augmentation.ColorJitter((0.1, 0.2, 0.3)),
    "RandomErasing": lambda: augmentation.RandomErasing(0.9),
    "RandomChoice": lambda: augmentation.RandomChoice(
        [augmentation.RandomFlip(1.0), augmentation.RandomErasing(1.0)], [0.2, 0.8]
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_a_notebook(name):
    """A batch with seeds is its images with theirs; without seeds, every call draws again."""
    layer = LAYERS[name]()
    images = np.stack([np.asarray(photo(size=(32, 24)))] * 8)
    given = {"images": images, "labels": np.eye(8, dtype="float32"), "seeds": seeds(8)}
    batch = layer(dict(given))
    np.testing.assert_array_equal(batch["labels"], given["labels"])
    np.testing.assert_array_equal(batch["seeds"], given["seeds"])
    assert batch["images"].dtype == tf.float32
    single = layer({"images": images[3].astype("float32"), "seeds": seeds(8)[3]})
    np.testing.assert_array_equal(single["images"], batch["images"][3])
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(copy) is type(layer)
    assert keras.saving.serialize_keras_object(copy) == keras.saving.serialize_keras_object(layer)

    def unknown_size():
        yield from images

    spec = tf.TensorSpec((None, None, 3), tf.uint8)
    dataset = tf.data.Dataset.from_generator(unknown_size, output_signature=spec).map(layer)
    results = np.stack(list(dataset.as_numpy_iterator()))
    assert results.shape == (8, 24, 32, 3)
    assert (results != results[0]).any()


def test_half_precision_policy_is_not_taken_over():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        augment = tf.function(augmentation.image_augmentation(**SCALE))
        mix = augmentation.batch_augmentation()
        image, _ = augment(as_tensor(photo()), [1, 2])
        images, labels = mix(tf.stack([image] * 2), tf.eye(2), [1, 2])
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {image.dtype, images.dtype, labels.dtype} == {tf.float32}


@pytest.mark.parametrize("auto_augment", ["rand-m9-mstd0.5-inc1", None])
def test_grey_images_and_whole_numbers(auto_augment):
    grey = augmentation.image_augmentation(
        auto_augment=auto_augment, mean=100.0, std=50.0, channels=1
    )
    image = as_tensor(photo(size=(30, 20)).convert("L"))

    def both(seed):
        return grey(image, seed)[0], grey(tf.cast(image, tf.uint8), seed)[0]

    results, from_bytes = each(both, 60, (tf.float32, tf.float32))
    assert results.shape == (60, 20, 30, 1)
    assert np.isfinite(results).all() and results.std(0).max() > 0.1
    np.testing.assert_array_equal(results, from_bytes)


def test_colour_jitter_is_pillows_in_the_drawn_order():
    layer, image = augmentation.ColorJitter(0.4), photo()
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    factors = (0.7, 1.3, 0.65)
    results = set()
    for index, order in enumerate([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1)]):
        expected = image
        for turn in order:
            expected = enhancers[turn](expected).enhance(factors[turn])
        result = layer.augment_image(as_tensor(image), (tf.constant(factors), index)).numpy()
        assert np.abs(result - np.asarray(expected, "float32")).mean() < 0.05
        results.add(result.tobytes())
    assert len(results) == 5
    drawn, order = each(layer.draw, 6000, (tf.float32, tf.int32))
    assert (np.abs(np.bincount(order) - 1000) < 120).all()
    np.testing.assert_allclose(drawn.mean(0), 1, atol=0.01)
    np.testing.assert_allclose([drawn.min(), drawn.max()], [0.6, 1.4], atol=0.002)


def slow_box(rng, height, width):
    """The share of an image that random erasing covers, written again from its definition."""
    for _ in range(10):
        area = rng.uniform(0.02, 1 / 3) * height * width
        ratio = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3)))
        rows, columns = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if rows < height and columns < width:
            return rows * columns / (height * width)
    return 0.0


@pytest.mark.parametrize("height, width", [(64, 64), (20, 60)])
def test_area_of_erased_boxes(height, width):
    layer = augmentation.RandomErasing()
    box = each(lambda seed: layer.box(seed, height, width), 8000, [tf.int32] * 4)
    top, left, rows, columns = box
    assert min(top.min(), left.min()) == 0
    assert (top + rows).max() == height and (left + columns).max() == width
    rng = random.Random(0)
    expected = np.sort([slow_box(rng, height, width) for _ in range(8000)])
    shares = np.sort(rows * columns / (height * width))
    grid = np.linspace(0, 0.34, 200)
    distance = np.searchsorted(shares, grid) / 8000 - np.searchsorted(expected, grid) / 8000
    assert np.abs(distance).max() < 0.031  # Kolmogorov-Smirnov, once in 1000 times


def test_erasing_covers_a_box_with_noise():
    layer = augmentation.RandomErasing(0.25)
    image = tf.fill([30, 40, 3], 7.0)
    call = tf.function(lambda seed: layer({"images": image, "seeds": seed})["images"])
    results = np.stack([call(seed) for seed in seeds(800)])
    erased = (results != 7).any(-1)
    touched = erased.any((1, 2))
    assert abs(touched.mean() - 0.25) < 0.05
    for one in erased[touched][:50]:
        rows, columns = one.any(1), one.any(0)
        assert one.sum() == rows.sum() * columns.sum()  # a full rectangle
    noise = results[erased]
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01


def test_flip():
    image, layer = as_tensor(photo(size=(9, 7))), augmentation.RandomFlip(0.3)
    results = each(lambda seed: layer({"images": image, "seeds": seed})["images"], 400, tf.float32)
    flipped = [np.array_equal(result, image.numpy()[:, ::-1]) for result in results]
    kept = [np.array_equal(result, image) for result in results]
    assert sum(flipped) + sum(kept) == 400 and abs(sum(flipped) - 120) < 30


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: augmentation.parse_policy("augmix-m3"), "`auto_augment` must be.*'augmix-m3'"),
        (lambda: augmentation.parse_policy("rand-x3"), "`auto_augment` must be.*'rand-x3'"),
        (lambda: augmentation.parse_policy("rand-p2"), "probability"),
        (lambda: augmentation.parse_policy("rand-n1.5"), "number of ops"),
        (lambda: augmentation.RandomOperation("Blur"), "`operation` must be one of.*'Blur'"),
        (lambda: augmentation.ColorJitter((0.1, 0.2)), "`strength` must be"),
        (lambda: augmentation.image_augmentation(flip=2, **SCALE), "`flip` must lie"),
        (lambda: augmentation.image_augmentation(mean=(1, 2), std=3), "`mean` must have 3"),
        (lambda: augmentation.image_augmentation(**{**SCALE, "std": (0, 1, 1)}), "`std` must be"),
        (lambda: augmentation.image_augmentation(channels=4, **SCALE), "`channels` must be 3"),
        (lambda: augmentation.batch_augmentation(mixup=-1), "`mixup` must be 0"),
        (lambda: augmentation.RandomChoice([], [1.0]), "`probabilities` must be 0"),
        (lambda: mixing.MixUp()({"images": np.zeros((4, 4, 3)), "labels": np.eye(3)}), "a batch"),
        (
            lambda: augmentation.RandomFlip()({"images": np.zeros((4, 4, 3)), "keypoints": [1]}),
            "Received also: keypoints",
        ),
        (
            lambda: augmentation.RandAugment(fill=(1,))(np.zeros((2, 4, 4, 3))),
            "`fill` must have a number for each of the 3",
        ),
    ],
)
def test_bad_settings(call, message):
    with pytest.raises(ValueError, match=message):
        call()
