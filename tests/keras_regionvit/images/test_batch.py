"""A served batch gives the pixels of evaluation, and no image can harm another."""

import pathlib
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_regionvit.images.batch import evaluation_batch
from keras_regionvit.images.preprocessing import Preprocessing
from tests.support.photos import (
    BAD,
    COLOUR,
    KINDS,
    PHOTOS,
    encoded,
    evaluated,
    gif_with_a_larger_frame,
    jpeg_header,
    photo,
)


@pytest.mark.parametrize(
    "preprocessing", [Preprocessing(24), Preprocessing(9, 1.0, (100.0,), (50.0,))], ids=str
)
def test_preprocessing_is_that_of_evaluation_bit_for_bit(preprocessing):
    photos = [*PHOTOS.values(), *BAD.values()]
    batch = tf.function(
        lambda data: evaluation_batch(data, preprocessing),
        input_signature=[tf.TensorSpec((None,), tf.string)],
        autograph=False,
    )
    images, valid = (x.numpy() for x in batch(tf.constant(photos)))
    expected = list(evaluated(photos, preprocessing))
    size, channels = preprocessing.size, preprocessing.channels
    assert images.shape == (len(photos), size, size, channels)
    assert [x is not None for x in expected] == valid.tolist()
    assert valid.tolist() == [True] * len(PHOTOS) + [False] * len(BAD)
    for image, right in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image, np.zeros_like(image) if right is None else right)


def test_a_cut_anywhere_is_judged_as_evaluation_does():
    preprocessing = Preprocessing(8)
    small = Image.fromarray(photo(20, 30))
    whole = [encoded(small, "PNG"), encoded(small, "GIF"), encoded(small, "JPEG")]
    whole.append(encoded(small.convert("P"), "BMP"))
    cuts = [data[:end] for data in whole for end in (*range(0, 60, 3), *range(60, len(data), 97))]
    images, valid = evaluation_batch(tf.constant(cuts), preprocessing)
    for image, fine, right in zip(images, valid, evaluated(cuts, preprocessing), strict=True):
        assert bool(fine) == (right is not None)
        np.testing.assert_array_equal(image, 0 if right is None else right)


def test_pixel_limit():
    photos = tf.constant([KINDS[kind] for kind in ("jpeg", "png", "gif", "bmp")])
    pixels = COLOUR.width * COLOUR.height
    for limit, fine in ((pixels, True), (pixels - 1, False)):
        valid = evaluation_batch(photos, Preprocessing(8, max_pixels=limit))[1]
        assert valid.numpy().tolist() == [fine] * 4


def test_limit_comes_before_memory():
    # 400 million pixels that are really there, in 50 kB: a process that decoded them would show it
    width = 20_000
    data = zlib.compress(bytes(width // 8 + 1) * width, 9)
    head = b"IHDR" + struct.pack(">IIBBBBB", width, width, 1, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (head, b"IDAT" + data, b"IEND")
    )
    batch = tf.function(lambda data: evaluation_batch(data, Preprocessing(8)), autograph=False)
    batch(tf.constant([KINDS["png"]]))
    frame = gif_with_a_larger_frame(12_000, 12_000)
    first = KINDS["gif"][:-1]
    later = first + frame[frame.index(b",") :]  # a second frame, which nobody asked for
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    before = peak()
    valid = batch(tf.constant([bomb, KINDS["png"], jpeg_header(20_000, 20_000), frame, later]))[1]
    grown = peak() - before
    assert valid.numpy().tolist() == [False, True, False, False, True]
    assert grown < 200


def peak():
    """MiB of memory that this process has held at most."""
    return int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
