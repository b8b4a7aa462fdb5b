"""WebP, TIFF and AVIF, which Pillow reads: the same pixels, limits, damage, and speed of others."""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_regionvit.images.decode import decode_image
from tests.support.sources import contents, write
from training.data.sources import open_source
from training.data.sources.formats import BY_PILLOW, as_bmp, kind_of
from training.prediction import folder
from training.prediction.files import why_unreadable

KINDS = ("WEBP", "TIFF", "AVIF")


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(shape=(9, 13, 3), dtype="uint8"):
    rng = np.random.default_rng(7)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def pixels(data):
    return decode_image(tf.constant(as_bmp(data))).numpy()


@pytest.mark.parametrize(
    "kind, mode",
    [
        *((kind, mode) for kind in KINDS for mode in ("RGB", "L", "RGBA")),
        *(("TIFF", mode) for mode in ("CMYK", "P", "1", "LAB")),
    ],
)
def test_pixels_are_those_of_pillow(kind, mode):
    data = encoded(Image.fromarray(noise()).convert(mode), kind)
    assert kind_of(data) == kind
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_array_equal(pixels(data), np.asarray(expected))


def test_black_ends_no_string():
    """NumPy drops zeros at the end of bytes."""
    data = encoded(Image.new("RGB", (40, 30)), "TIFF")
    assert pixels(data).shape == (30, 40, 3) and not pixels(data).any()


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_and_sixteen_bits(compression):
    grey = noise((9, 13), "uint16")
    data = encoded(Image.fromarray(grey), "TIFF", compression=compression)
    np.testing.assert_array_equal(pixels(data), np.repeat(grey[..., None] >> 8, 3, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_frame_is_taken(kind):
    """Also of an animated WebP, on which TensorFlow's decoder ends the process."""
    frames = [Image.new("RGB", (16, 8), color) for color in ("red", "blue", "green")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    red = pixels(data)
    assert red.shape == (8, 16, 3) and (np.abs(red.astype(int) - (255, 0, 0)) < 4).all()


@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning")  # Pillow's, of a damaged TIFF
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_none(kind):
    data = encoded(Image.fromarray(noise((40, 50, 3))), kind)
    assert as_bmp(data)[:2] == b"BM"
    for length in (16, 24, 31, len(data) // 2):
        assert as_bmp(data[:length]) == b""
    assert as_bmp(data[:20] + bytes(len(data) - 20)) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_pixels(kind):
    data = encoded(Image.fromarray(noise((10, 13, 3))), kind)
    assert as_bmp(data, max_pixels=129) == b"" and as_bmp(data, max_pixels=130)


def test_a_large_canvas_is_not_unpacked():
    """Pillow reserves a WebP's canvas as it opens it, and warns of a TIFF as it opens it."""
    webp = bytearray(encoded(Image.new("RGBA", (5, 5), (1, 2, 3, 4)), "WEBP", lossless=True))
    assert webp[12:16] == b"VP8L"
    webp[21:25] = b"\xff\xff\xff\x1f"  # 16,384 x 16,384
    assert as_bmp(bytes(webp)) == b""
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    webp = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    assert webp[12:16] == b"VP8X"
    webp[24:30] = b"\xff\x3f\0\xff\x3f\0"
    assert as_bmp(bytes(webp)) == b""
    tiff = encoded(Image.new("L", (3, 2)), "TIFF").replace(b"\x03\0\0\0", b"\xff\xff\xff\x0f", 1)
    assert as_bmp(tiff) == b""


def test_others_are_left_alone():
    for kind in ("PNG", "JPEG", "GIF", "BMP"):
        data = encoded(Image.fromarray(noise()), kind)
        assert as_bmp(data) is data
    assert as_bmp(b"") == b"" and as_bmp(b"RIFF") == b"RIFF" and as_bmp(b"\0\0\0\x20ftypheic")


def test_a_folder_of_all_formats(tmp_path):
    """A file is what it holds, whatever it is called among those that Pillow reads."""
    endings = ("png", "bmp", *(suffix[1:] for suffix in BY_PILLOW))
    write(tmp_path, [f"{c}/{i}.{ending}" for c in "ab" for i in range(2) for ending in endings])
    (tmp_path / "a/0.webp").write_bytes((tmp_path / "a/0.png").read_bytes())
    examples = contents(open_source("folder", "all", data=tmp_path))
    assert len(examples) == 24
    for example in examples:
        file = example["name"].decode()
        expected = np.asarray(Image.open(file).convert("RGB"))
        np.testing.assert_array_equal(decode_image(example["image"]), expected)
        if file.endswith("png"):
            assert example["image"] == Path(file).read_bytes()


def test_the_usual_formats_take_the_usual_way(tmp_path):
    write(tmp_path, [f"{c}/{i}.png" for c in "ab" for i in range(2)])
    examples = open_source("folder", "all", data=tmp_path)

    def operations():
        graph = tf.function(examples.example_of).get_concrete_function(tf.constant(0, tf.int64))
        return {operation.type for operation in graph.graph.get_operations()}

    assert not {"PyFunc", "PyFuncStateless", "If", "StatelessIf", "Case"} & operations()
    write(tmp_path, ["a/2.webp"])
    examples = open_source("folder", "all", data=tmp_path)
    assert {"If", "StatelessIf"} & operations()


def test_predictions_take_the_same(tmp_path, monkeypatch, capsys):
    """And name what they pass over."""
    seen = []

    class Predictor:
        top_k, identity, valid, classes, labels, scores = 0, "one", True, (), (), ()

        def __init__(self, *_):
            pass

        def __call__(self, images):
            seen.extend(images)
            return [self] * len(images)

    monkeypatch.setattr(folder, "Predictor", Predictor)
    write(tmp_path / "photos", ["a.webp", "b.png", "c.tif", "d.avif"])
    for name in ("e.heic", "f.heic", ".hidden", "notes.txt"):
        (tmp_path / "photos" / name).write_bytes(b"")
    assert folder.run("model", tmp_path / "photos", tmp_path / "rows.csv") == (4, 0)
    assert [data[:2] for data in seen] == [b"BM", b"\x89P", b"BM", b"BM"]
    out = capsys.readouterr().out.replace(f"{tmp_path}/", "")
    words = "2 .heic (such as photos/e.heic), 1 .txt (such as photos/notes.txt)"
    assert out == f"passed over: {words}\n"


def test_why_a_file_cannot_be_read(tmp_path):
    write(tmp_path, ["a.webp"])
    whole = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "b.webp").write_bytes(whole[:40])
    (tmp_path / "c.jpg").write_bytes(whole)
    (tmp_path / "d.webp").write_bytes(b"text")
    said = [why_unreadable(str(tmp_path / name)) for name in ("b.webp", "c.jpg", "d.webp")]
    assert said[0].endswith(
        "b.webp cannot be read as a WEBP: it is damaged, cut short, too large or rare."
    )
    assert said[1].endswith("c.jpg is a WEBP by another name; let its name end in .webp.")
    assert said[2].endswith(
        "is not an image; a JPEG, PNG, GIF, BMP, WebP, TIFF or AVIF was expected."
    )
