"""`python -m training.predict` for a few images: what is named, printed, refused."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from keras_regionvit.images.preprocessing import evaluation_image
from tests.support import served_model
from tests.support.photos import BAD, KINDS, photo
from training import predict
from training.data.sources import fashion_mnist
from training.prediction.files import named, negative, why_unreadable


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    served_model.write_run(folder, served_model.build())
    return folder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for name in ("2.png", "1.PNG", "b/3.jpg"):
        (folder / name).write_bytes(KINDS["jpeg" if name.endswith("jpg") else "png"])
    (folder / "notes.txt").write_text("no image")
    return folder


def run(capsys, *arguments):
    """(status, lines of stdout, lines of stderr)."""
    status = predict.main(list(map(str, arguments)))
    output = capsys.readouterr()
    return status, output.out.splitlines(), output.err.splitlines()


def test_files_patterns_and_folders(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    everything = ["photos/1.PNG", "photos/2.png", "photos/b/3.jpg"]
    assert named(["photos"]) == named(["photos/"]) == everything
    assert named(["photos/*.[pP]*"]) == everything[:2]
    assert named(["photos/**/*.*g", "photos/b"]) == ["photos/2.png", *everything[2:] * 2]
    assert named(["photos/*"]) == [*everything, "photos/notes.txt"]
    assert named(["none.png", "none*.png"]) == ["none.png", "none*.png"]
    os.rename("photos/2.png", "photos/[2].png")
    assert named(["photos/[2].png"]) == ["photos/[2].png"]  # a file of that name comes first


def test_the_best_three_are_printed(model, photos, capsys):
    status, lines, errors = run(capsys, "--model", model, photos / "b", photos / "2.png")
    assert status == 0 and errors == []
    results = predict.run(model, [photos / "b", photos / "2.png"])
    for line, result in zip(lines, results, strict=True):
        best = sorted(result["probabilities"].items(), key=lambda item: -item[1])[:3]
        assert line.split(maxsplit=1) == [
            result["image"], ", ".join(f"{name} {p:.1%}" for name, p in best)
        ]  # fmt: skip
        assert result["prediction"] == best[0][0]


def test_unreadable_files_do_not_stop_the_others(model, photos, tmp_path, capsys):
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes(BAD["a cut PNG"])
    (tmp_path / "huge.png").write_bytes(BAD["a huge PNG"])
    (tmp_path / "nothing").mkdir()
    names = ["empty.png", "cut.png", "huge.png", "none.png", "none*.png", "nothing",
             "photos/notes.txt", "photos/2.png"]  # fmt: skip
    status, lines, errors = run(
        capsys, "--model", model, *(tmp_path / name for name in names), "--json",
        tmp_path / "out.json",
    )  # fmt: skip
    assert status == 1
    assert len(lines) == 1 and lines[0].startswith(str(photos / "2.png"))
    said = ["is empty", "damaged", "is too large, 20000 x 20000", "does not exist",
            "matches no file", "has no images in it", "is not an image"]  # fmt: skip
    for line, name, sentence in zip(errors, names[:-1], said, strict=True):
        assert line.startswith(f"error: {tmp_path / name} ") and sentence in line
    results = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert [result["valid"] for result in results] == [False] * 7 + [True]
    assert [f"error: {result['error']}" for result in results[:-1]] == errors


def test_the_limit_of_the_model_is_named(tmp_path):
    Image.fromarray(photo(20, 30)).save(tmp_path / "a.png")
    assert "images of up to 599 pixels" in why_unreadable(tmp_path / "a.png", 599)


def test_the_negative(model, tmp_path):
    pixels = photo(50, 40)
    Image.fromarray(255 - pixels).save(tmp_path / "negative.png")
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (negated,) = predict.run(model, [tmp_path / "negative.png"], invert=True)
    (expected,) = predict.run(model, [tmp_path / "photo.png"])
    assert negated["probabilities"] == expected["probabilities"]
    assert negative(b"no image") == b"no image"
    (bad,) = predict.run(model, [tmp_path / "none.png"], invert=True)
    assert not bad["valid"]


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    """A grey model with the classes of Fashion-MNIST, and the folder of its run."""
    import keras_regionvit

    backbone = keras_regionvit.RegionViTBackbone(
        (16, 32), (1, 1), patch_size=2, window_size=2, input_shape=(28, 28, 1)
    )
    model = keras_regionvit.build_classifier(backbone, classes=10)
    folder = tmp_path_factory.mktemp("runs") / "clothes"
    served_model.write_run(folder, model, labels=fashion_mnist.CLASS_NAMES, crop_ratio=1.0)
    return folder, model


@pytest.mark.slow
def test_held_out_images(clothes, capsys, tmp_path):
    folder, model = clothes
    _, held_out = fashion_mnist.load()
    status, lines, errors = run(
        capsys, "--model", folder, "--samples", 12, "--json", tmp_path / "out.json"
    )
    assert status == 0 and errors == [] and len(lines) == 12
    results = json.loads((tmp_path / "out.json").read_text("utf-8"))
    indices = [result["index"] for result in results]
    assert indices == fashion_mnist.first_of_each_class(held_out, 12).tolist()
    mean, std = served_model.MEAN[:1], served_model.STD[:1]
    images = [evaluation_image(held_out.images[i], 28, 1.0, mean, std) for i in indices]
    expected = model.predict(np.stack(images), verbose=0)
    for line, result, row in zip(lines, results, expected, strict=True):
        assert list(result["probabilities"]) == list(fashion_mnist.CLASS_NAMES)
        np.testing.assert_allclose(list(result["probabilities"].values()), row, atol=1e-5)
        assert result["label"] == fashion_mnist.CLASS_NAMES[held_out.labels[result["index"]]]
        right = result["label"] == result["prediction"]
        assert line.endswith("(right)" if right else f"(wrong: {result['label']})")


def test_bad_input(model, photos, tmp_path, capsys):
    good = photos / "2.png"
    for arguments, said in (
        ([model], "name at least one image"),
        ([tmp_path, good], "is not a SavedModel"),
        ([model, "--samples", 3], "the model knows other classes, such as 'ant'"),
        ([model, good, "--json", tmp_path / "no" / "x.json"], "x.json cannot be written: No such"),
        ([model, good, "--folder", photos, "--csv", tmp_path / "x.csv"], "alone"),
        ([model, "--csv", tmp_path / "x.csv"], "go together"),
    ):
        status, lines, errors = run(capsys, "--model", *arguments)
        assert (status, lines, len(errors)) == (2, [], 1), errors
        assert errors[0].startswith("error: ") and said in errors[0], errors
