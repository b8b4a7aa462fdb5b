"""The operations of RandAugment against Pillow, and how often each is drawn."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tests.support.augmented import FILL, as_tensor, each, photo
from training import augmentation
from training.augmentation import color, geometry

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
