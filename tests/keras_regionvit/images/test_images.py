"""Decoding and the evaluation image, against Pillow."""

import io
import pathlib
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_regionvit.images.decode import decode_image
from keras_regionvit.images.gif import first_frame
from keras_regionvit.images.headers import image_shape
from keras_regionvit.images.preprocessing import evaluation_image
from tests.support.photos import COLOUR, KINDS, PALETTE, TALL, encoded, on_larger_screen, photo

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def pillow(data, mode="RGB"):
    return np.asarray(Image.open(io.BytesIO(data)).convert(mode))


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def decode(data):
    return decode_image(data), decode_image(data, channels=1), image_shape(data)


@pytest.mark.parametrize("kind", KINDS)
def test_decodes_as_pillow(kind):
    image, grey, shape = decode(tf.constant(KINDS[kind]))
    colour = pillow(KINDS[kind])
    np.testing.assert_array_equal(image, colour)
    np.testing.assert_array_equal(grey[..., 0], Image.fromarray(colour).convert("L"))
    np.testing.assert_array_equal(shape, colour.shape[:2])


def test_cmyk_keeps_the_colours():
    # the image before it became cyan, magenta, yellow, black and a JPEG
    image = decode(tf.constant(KINDS["jpeg, cmyk"]))[0].numpy().astype(float)
    assert np.abs(image - photo()).mean() < 12 < np.abs(255 - image - photo()).mean()


def test_16_bit_grey_is_scaled_where_pillow_clips():
    values = (np.arange(97 * 131) * 5 % 65536).reshape(97, 131).astype("uint16")
    data = encoded(Image.fromarray(values), "PNG")
    np.testing.assert_array_equal(decode(tf.constant(data))[0], np.stack([values >> 8] * 3, -1))


def png(width, height):
    """A PNG of that size in its head only."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + head + struct.pack(">I", zlib.crc32(head)) + b"rest"


BMP = KINDS["bmp, palette"]
BAD = {
    "empty": (b"", "not a JPEG, PNG, GIF or BMP"),
    "text": (b"<html>404</html>", "not a JPEG, PNG, GIF or BMP"),
    "webp": (encoded(COLOUR, "WEBP"), "not a JPEG, PNG, GIF or BMP"),
    "truncated jpeg": (KINDS["jpeg"][:3000], "JPEG"),
    "head of a jpeg": (KINDS["jpeg"][:10], "JPEG"),
    "truncated png": (KINDS["png"][:3000], "PNG"),
    "head of a png": (KINDS["png"][:14], "PNG"),
    "a bomb": (png(50_000, 50_000), "2500000000 pixels; at most 89478485 are read"),
    "negative size": (png(2**31 + 5, 7), "PNG"),
    "compressed bmp": (BMP[:30] + b"\1" + BMP[31:], "compressed"),
    "truncated bmp": (BMP[:900], "size should match"),
    "head of a bmp": (BMP[:16], "Incomplete bmp content"),
    "truncated gif": (KINDS["gif"][:400], "GIF"),
    "bmp of 4 bits": (BMP[:28] + b"\4" + BMP[29:], "channels .* must be 1, 3 or 4"),
    "bmp with more behind it": (KINDS["bmp"] + b"more", "size should match"),
    "tall png": (TALL["a very tall PNG"], "a side of 1000000 pixels; at most 65535 are read"),
    "tall bmp": (TALL["a very tall BMP"], "a side of 100000 pixels; at most 65535 are read"),
}


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    data, message = BAD[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(tf.constant(data))


@pytest.mark.parametrize("transparency", [None, 7])
def test_a_gif_larger_than_its_screen(transparency):
    options = {} if transparency is None else {"transparency": transparency}
    data = on_larger_screen(encoded(PALETTE, "GIF", **options), 50, 120, left=9, top=2)
    image = decode_image(tf.constant(data))
    assert image.shape == (120, 140, 3)
    np.testing.assert_array_equal(image, pillow(data))
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many pixels"):
        decode_image(tf.constant(data), max_pixels=120 * 140 - 1)


def test_a_gif_of_tiny_blocks_ends_soon():
    first = tf.function(first_frame, input_signature=[tf.TensorSpec((), tf.string)])
    data = KINDS["gif"]
    head = 13 + 3 * 2 ** (data[10] % 8 + 1)

    def sides(extensions):
        return [int(side) for side in first(data[:head] + extensions + data[head:])[1:]]

    assert sides(b"") == [97, 131]
    assert sides(b"!\xfe\0" * 500) == sides(b"!\xfe" + b"\1x" * 500 + b"\0") == [97, 131]
    assert sides(b"!\xfe" + (b"\xff" + b"x" * 255) * 5000 + b"\0") == [97, 131]
    assert sides(b"!\xfe\0" * 5000) == sides(b"!\xfe" + b"\1x" * 5000 + b"\0") == [0, 0]


def test_limit_of_pixels():
    data = tf.constant(KINDS["gif"])  # 131 x 97 = 12707
    assert decode_image(data, max_pixels=12707).shape == (97, 131, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="12707 pixels; at most 12706"):
        decode_image(data, max_pixels=12706)


def pillow_evaluation(image, size, shorter):
    """What torchvision's Resize and CenterCrop do with a Pillow image."""
    width, height = image.size
    small = min(width, height)
    image = image.resize((shorter * width // small, shorter * height // small), 3)  # bicubic
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)), "float64")


@pytest.mark.parametrize("size", [224, 56, 97])
@pytest.mark.parametrize("height, width", [(97, 131), (331, 200), (300, 300), (64, 500), (19, 23)])
def test_evaluation_image_as_pillow(height, width, size):
    pixels = photo(height, width)
    image = evaluation_image(tf.constant(pixels), size, **PLAIN).numpy()
    expected = pillow_evaluation(Image.fromarray(pixels), size, round(size * 256 / 224))
    assert image.shape == expected.shape
    assert np.abs(image - expected).max() <= 1  # a half rounded the other way
    assert np.abs(image - expected).mean() < 0.01


def test_the_whole_shorter_side():
    pixels = photo(100, 150)
    image = evaluation_image(tf.constant(pixels), 100, crop_ratio=1, **PLAIN)
    np.testing.assert_array_equal(image, pixels[:, 25:125])


def photos():
    """Real photos of other packages, where they are installed."""
    pytest.importorskip("matplotlib")
    from matplotlib import cbook

    found = [pathlib.Path(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))]
    for package in ("skimage", "sklearn"):
        try:
            module = __import__(package)
        except ImportError:
            continue
        folder = pathlib.Path(module.__file__).parent
        found += sorted([*folder.rglob("data/r*.jpg"), *folder.rglob("images/*.jpg")])
    return found


def test_real_photos():
    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def run(data):
        return evaluation_image(data, 224, **PLAIN)

    found = photos()
    assert found
    for path in found:
        image = run(tf.io.read_file(str(path))).numpy()
        with Image.open(path) as file:
            difference = np.abs(image - pillow_evaluation(file.convert("RGB"), 224, 256))
        assert difference.max() <= 1 and difference.mean() < 0.001, path


def test_normalises():
    pixels = tf.constant(photo(224, 224))
    image = evaluation_image(pixels, 224, 1.0)
    expected = (np.asarray(pixels) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(image, expected, atol=1e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"size": 0}, "`size` must be a positive integer. Received: size=0"),
        ({"size": 9, "crop_ratio": 1.5}, "`crop_ratio` must be a number in"),
        ({"size": 9, "mean": (0.0,), "std": (1.0,)}, "each of the 3 channels"),
        ({"size": 9, "std": (1.0, 1.0, 0.0)}, "`std` positive"),
    ],
)
def test_refuses_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        evaluation_image(tf.constant(photo()), **settings)


def test_refuses_other_types():
    with pytest.raises(ValueError, match=r"encoded bytes or uint8. Received: float32"):
        evaluation_image(tf.zeros((9, 9, 3)), 9)
    with pytest.raises(ValueError, match=r"`channels` must be 1 or 3. Received: 4"):
        decode_image(KINDS["jpeg"], channels=4)
