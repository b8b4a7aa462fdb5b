"""One table: 40 photos, each way from an encoded photo to probabilities, the same numbers."""

import csv
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import keras_regionvit
from keras_regionvit.images.preprocessing import evaluation_image
from tests.support import served_model
from tests.support.photos import PHOTOS
from tests.support.served_model import CLASSES, CROP_RATIO, LABELS, MEAN, SIZE, STD
from training import predict

ROOT = pathlib.Path(keras_regionvit.__file__).parents[1]


@pytest.fixture(scope="module")
def model():
    """What is trained: it takes images that the pipeline has normalised."""
    return served_model.build()


@pytest.fixture(scope="module")
def runs(model, tmp_path_factory):
    """The folder of a run, and that of a run of version 0.1, whose SavedModel takes tensors."""
    folder = tmp_path_factory.mktemp("runs")
    served_model.write_run(folder / "run", model)
    served_model.write_run(folder / "old", model, encoded=False)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The photos as files, in the order of the table."""
    folder = tmp_path_factory.mktemp("photos")
    for i, (kind, data) in enumerate(PHOTOS.items()):
        suffix = {"jpeg": "jpg"}.get(kind[:4], kind[:3])
        (folder / f"{i:02}.{suffix}").write_bytes(data)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def expected(model):
    return evaluated(model)


def evaluated(model, crop_ratio=CROP_RATIO):
    """Probabilities (40, K) as evaluation computes them."""
    channels = model.input.shape[-1]

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def image(data):
        return evaluation_image(data, SIZE, crop_ratio, MEAN[:channels], STD[:channels])

    images = np.stack([image(tf.constant(data)) for data in PHOTOS.values()])
    return model.predict(images, verbose=0)


def by_predict(model, arguments, tmp_path):
    """`predict IMAGE ...`: what the command writes as JSON."""
    written = tmp_path / "results.json"
    assert predict.main(["--model", str(model), *map(str, arguments), "--json", str(written)]) == 0
    results = json.loads(written.read_text("utf-8"))
    assert [list(result["probabilities"]) for result in results] == [LABELS] * len(results)
    return np.array([list(result["probabilities"].values()) for result in results])


def by_predict_folder(model, files, tmp_path):
    """`predict --folder`: rows with all classes, best first."""
    output = tmp_path / "rows.csv"
    command = ["--model", model, "--folder", files[0].parent, "--csv", output]
    assert predict.main(list(map(str, command))) == 0
    with open(output, newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
    assert [row["file"] for row in rows] == [path.name for path in files]
    found = np.full((len(rows), CLASSES), np.nan)
    for row, probabilities in zip(rows, found, strict=True):
        assert row["valid"] == "1"
        for place in range(1, 1 + sum(name.startswith("class") for name in row)):
            number = int(row[f"class{place}"])
            assert row[f"label{place}"] == LABELS[number]
            probabilities[number] = row[f"score{place}"]
    return found


def by_a_fresh_process(saved_model, tmp_path):
    """The SavedModel where this package is not imported."""
    photos = list(PHOTOS.values())
    joined = np.frombuffer(b"".join(photos), np.uint8)
    np.savez(tmp_path / "in.npz", photos=joined, lengths=[len(data) for data in photos])
    script = ROOT / "tests" / "support" / "served_model.py"
    arguments = [script, saved_model, tmp_path / "in.npz", tmp_path / "out.npz"]
    subprocess.run([sys.executable, *map(str, arguments)], check=True, timeout=300, cwd=tmp_path)
    with np.load(tmp_path / "out.npz") as answer:
        assert answer["valid"].all()
        return answer["probabilities"]


WAYS = {
    "predict IMAGE, the run": lambda runs, files, scratch: by_predict(runs / "run", files, scratch),
    "predict PATTERN, the SavedModel": lambda runs, files, scratch: by_predict(
        runs / "run" / "saved_model" / "1", [files[0].parent / "*.*"], scratch
    ),
    "predict FOLDER, the .keras file": lambda runs, files, scratch: by_predict(
        runs / "run" / "model.keras", [files[0].parent], scratch
    ),
    "predict IMAGE, the run of 0.1": lambda runs, files, scratch: by_predict(
        runs / "old", files, scratch
    ),
    "predict --folder, the run": lambda runs, files, scratch: by_predict_folder(
        runs / "run", files, scratch
    ),
    "predict --folder, the .keras file of 0.1": lambda runs, files, scratch: by_predict_folder(
        runs / "old" / "model.keras", files, scratch
    ),
    "the SavedModel in a fresh process": lambda runs, files, scratch: by_a_fresh_process(
        runs / "run" / "saved_model" / "1", scratch
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_same_probabilities(way, runs, files, expected, tmp_path):
    assert len(files) == len(PHOTOS) == 40
    found = WAYS[way](runs, files, tmp_path)
    given = ~np.isnan(found)  # rows of the folder have the best five of a .keras file alone
    assert given.sum(axis=1).min() >= 5
    np.testing.assert_allclose(found[given], expected[given], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(np.nanargmax(found, axis=1), expected.argmax(axis=1))


@pytest.mark.slow
def test_a_grey_model(files, tmp_path):
    model = served_model.build(channels=1)
    served_model.write_run(tmp_path / "run", model)
    for name in (".", "model.keras"):
        found = by_predict(tmp_path / "run" / name, files, tmp_path)
        np.testing.assert_allclose(found, evaluated(model), rtol=0, atol=1e-5)


def test_photos_and_settings_matter(model, expected):
    """Else equal numbers would say nothing."""
    assert np.ptp(expected, axis=0).max() > 0.05
    assert len(set(expected.argmax(axis=1).tolist())) > 1
    assert len(np.unique(expected.round(4), axis=0)) > 25
    assert np.abs(evaluated(model, crop_ratio=0.875) - expected).max() > 0.01
