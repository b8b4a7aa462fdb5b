"""Augmentation against Pillow, against probability theory, and by its own promises."""

import importlib.util
import pathlib
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from training import augmentation
from training.augmentation import color, geometry, mixing
from training.augmentation.pixels import paste

FILL = (124, 116, 104)
SCALE = {"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}


def photo(name="astronaut", size=(90, 70)):
    """A photo of scikit-image, (W, H); else a picture with smooth colours, edges and noise."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        rng = np.random.default_rng(0)
        y, x = np.mgrid[: size[1], : size[0]]
        waves = np.stack([np.sin(x / 9 + y / 23), np.cos(y / 7), np.sin(x * y / 400)], -1)
        picture = 110 + 90 * waves + 30 * (x > 40)[..., None] + rng.normal(0, 9, waves.shape)
        return Image.fromarray(picture.clip(3, 251).astype("uint8"))
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


COLOR_OPERATIONS = {
    "auto_contrast": ([()], lambda image: ImageOps.autocontrast(image)),
    "equalize": ([()], lambda image: ImageOps.equalize(image)),
    "invert": ([()], lambda image: ImageOps.invert(image)),
    "posterize": ([(1,), (3,), (8,)], lambda image, bits: ImageOps.posterize(image, bits)),
    "solarize": ([(0,), (26,), (255,), (256,)], lambda image, t: ImageOps.solarize(image, t)),
    "solarize_add": (
        [(0,), (99,), (110,)],
        lambda image, add: image.point(lambda v: min(255, v + add) if v < 128 else v),
    ),
    "saturation": ([(0.1,), (1.9,)], lambda image, f: ImageEnhance.Color(image).enhance(f)),
    "contrast": ([(0.19,), (1.81,)], lambda image, f: ImageEnhance.Contrast(image).enhance(f)),
    "brightness": ([(0.1,), (1.45,)], lambda image, f: ImageEnhance.Brightness(image).enhance(f)),
    "sharpness": ([(0.1,), (1.9,)], lambda image, f: ImageEnhance.Sharpness(image).enhance(f)),
}


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", COLOR_OPERATIONS)
def test_color_operation_as_pillow(name, mode):
    arguments, pillow = COLOR_OPERATIONS[name]
    image = photo().convert(mode)
    image = image.point(lambda value: value // 2 + 40)  # so that contrast has what to stretch
    for args in arguments:
        expected = as_tensor(pillow(image, *args)).numpy()
        result = getattr(color, name)(as_tensor(image), *args).numpy()
        assert result.shape == expected.shape
        assert np.abs(result - expected).max() <= 1  # a fraction just below a whole number
        assert np.abs(result - expected).mean() < 0.01


def test_color_operations_on_flat_images():
    flat = tf.fill([6, 5, 3], 77.0)
    for name in ("auto_contrast", "equalize", "contrast", "sharpness"):
        args = COLOR_OPERATIONS[name][0][0]
        np.testing.assert_array_equal(getattr(color, name)(flat, *args), flat)
    assert not color.posterize(flat, 0).numpy().any()  # no bits, no light


def pillow_geometry(image, name, amount, bicubic, fill):
    width, height = image.size
    options = {"resample": Image.Resampling(3 if bicubic else 2), "fillcolor": fill}
    matrix = {
        "shear_x": (1, amount, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, amount, 1, 0),
        "translate_x": (1, 0, amount * width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, amount * height),
    }
    if name == "rotate":
        return image.rotate(amount, **options)
    return image.transform(image.size, Image.Transform.AFFINE, matrix[name], **options)


@pytest.mark.parametrize("mode, fill", [("RGB", FILL), ("L", 73)])
@pytest.mark.parametrize("bicubic", [False, True])
@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"])
def test_geometry_as_pillow(name, bicubic, mode, fill):
    image = photo().convert(mode)
    amounts = (27.3, -11.0, 0.0) if name == "rotate" else (0.2713, -0.13, 0.0, 0.45)
    for amount in amounts:
        expected = as_tensor(pillow_geometry(image, name, amount, bicubic, fill)).numpy()
        transform = getattr(geometry, name)
        fills = fill if mode == "RGB" else (fill,)
        result = transform(as_tensor(image), tf.constant(amount), tf.constant(bicubic), fills)
        assert np.abs(result - expected).max() <= 1
        # a whole number may come out of Pillow's arithmetic just below, and be cut
        assert np.abs(result - expected).mean() < 0.05


def test_geometry_moves_everything_out():
    result = geometry.translate_x(as_tensor(photo()), tf.constant(1.5), tf.constant(True), FILL)
    assert (result.numpy() == FILL).all()


def test_frequencies_of_operations():
    layer, count = augmentation.RandAugment(), 20_000
    signature = (tf.int32, tf.float32, tf.float32, tf.bool)
    chosen, level, sign, bicubic = each(layer.draw, count, signature, first=6)
    assert chosen.shape == (count, 2)
    nominal = np.array([1 / 30] * 15 + [1 / 2])
    for slot in range(2):
        expected = nominal * count
        square = ((np.bincount(chosen[:, slot], minlength=16) - expected) ** 2 / expected).sum()
        assert square < 37.7  # exceeded once in 1000 times, 15 degrees of freedom
    # with replacement, and one slot does not know of the other
    pairs = np.bincount(chosen[:, 0] * 16 + chosen[:, 1], minlength=256)
    expected = np.outer(nominal, nominal).ravel() * count
    assert ((pairs - expected) ** 2 / expected).sum() < 330  # 255 degrees, once in 1000 times
    drawn = np.clip(np.random.default_rng(0).normal(9, 0.5, 10 * count), 0, 10) / 10
    np.testing.assert_allclose(level.mean(), drawn.mean(), atol=1e-3)
    np.testing.assert_allclose(level.std(), drawn.std(), rtol=0.02)
    np.testing.assert_allclose((level == 1).mean(), (drawn == 1).mean(), atol=3e-3)
    for half in (sign > 0, bicubic, (sign > 0) == bicubic, bicubic[:, 0] == bicubic[:, 1]):
        np.testing.assert_allclose(half.mean(), 0.5, atol=0.015)


def test_one_slot_carries_out_what_was_drawn():
    dull = photo().point(lambda value: value // 2 + 40)  # so that contrast has what to stretch
    layer, image = augmentation.RandAugment(), as_tensor(dull)
    numbers = (tf.constant(0.8), tf.constant(-1.0), tf.constant(True))
    results = [layer.fill_slot(image, tf.constant(i), *numbers).numpy() for i in range(16)]
    for operation, result in zip(augmentation.OPERATIONS, results, strict=False):
        single = augmentation.RandomOperation(operation)
        alone = single.augment_image(image, single.drawn(*numbers)).numpy()
        error = np.abs(alone - result)
        assert error.max() <= 1 and error.mean() < 0.01  # a graph rounds otherwise now and then
    np.testing.assert_array_equal(results[15], image)
    assert len({result.tobytes() for result in results}) == 16


def test_same_seed_same_image_in_any_number_of_threads():
    augment, image = augmentation.image_augmentation(**SCALE), as_tensor(photo())

    def images(threads):
        dataset = tf.data.Dataset.from_tensor_slices(tf.concat([seeds(40), seeds(40, 6)], 0))
        dataset = dataset.map(lambda seed: augment(image, seed), num_parallel_calls=threads)
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
    """A batch with seeds is its images with theirs; without seeds, every call draws anew."""
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
        image = augment(as_tensor(photo()), [1, 2])
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
        return grey(image, seed), grey(tf.cast(image, tf.uint8), seed)

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
    """The share of an image that random erasing covers, written anew from its definition."""
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


@pytest.mark.parametrize("batch", [7, 1])
@pytest.mark.parametrize("settings", [{}, {"mixup": 0}, {"cutmix": 0}, {"probability": 0.5}])
def test_label_mass_is_pixel_mass(batch, settings):
    """Each image has one value and one class of its own: the mean value is the label's."""
    mix = tf.function(augmentation.batch_augmentation(**settings))
    values = np.arange(batch, dtype="float32") * 20 + 3
    images = np.broadcast_to(values[:, None, None, None], (batch, 13, 17, 3))
    mixed = 0
    for seed in seeds(20):
        results, labels = mix(tf.constant(images), tf.eye(batch), seed)
        np.testing.assert_allclose(labels.numpy().sum(1), 1, rtol=1e-6)
        means = results.numpy().mean((1, 2, 3))
        np.testing.assert_allclose(labels.numpy() @ values, means, rtol=1e-5)
        mixed += not np.array_equal(labels, np.eye(batch))
        partner = labels.numpy() * (1 - np.eye(batch))  # only the reversed batch
        assert not (partner * (1 - np.eye(batch)[::-1])).any()
    assert mixed == 0 if batch == 1 else mixed > 5


def test_share_and_switch_of_mixing():
    mix = augmentation.batch_augmentation(mixup=0.8, cutmix=1.0, switch_probability=0.3)
    images = tf.constant(np.random.default_rng(0).uniform(size=(2, 40, 40, 1)), tf.float32)

    def one(seed):
        results, labels = mix(images, tf.eye(2), seed)
        own = tf.reduce_mean(tf.cast(results == images, tf.float32), [1, 2, 3])[0]
        other = tf.reduce_mean(tf.cast(results == images[::-1], tf.float32), [1, 2, 3])[0]
        return own + other > 0.999, labels[0, 0]

    cut, share = each(one, 4000, (tf.bool, tf.float32))
    assert abs(cut.mean() - 0.3) < 0.03
    expected = np.random.default_rng(1).beta(0.8, 0.8, 100_000)
    quantiles = [0.1, 0.25, 0.5, 0.75, 0.9]
    np.testing.assert_allclose(
        np.quantile(share[~cut], quantiles), np.quantile(expected, quantiles), atol=0.04
    )
    # the edge cuts boxes off: the mean share kept is 1 - E[h w], 0.5 without an edge
    assert 0.55 < share[cut].mean() < 0.75


def test_paste():
    image = np.zeros((2, 5, 7, 3), "float32")
    expected = image.copy()
    expected[:, 1:4, 2:7] = 1
    for index in (slice(None), 0):
        patch = tf.ones((2, 3, 5, 3))[index]
        np.testing.assert_array_equal(
            paste(tf.constant(image[index]), patch, 1, 2), expected[index]
        )


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


def test_nothing_to_mix():
    images, labels = tf.zeros((2, 3, 3, 1)), tf.eye(2)
    for settings in ({"mixup": 0, "cutmix": 0}, {"probability": 0}):
        assert augmentation.batch_augmentation(**settings)(images, labels, [0, 1])[0] is images
