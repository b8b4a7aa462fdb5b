"""The main job as a user runs it: `python -m training.train --recipe quickstart`, made small."""

import csv
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_regionvit
from keras_regionvit.export.saved_model import export_saved_model
from training import predict, train
from training.console import quiet_import
from training.data.sources import fashion_mnist
from training.runs import folder as run_folder

ROOT = pathlib.Path(keras_regionvit.__file__).parents[1]
NAMES = list(fashion_mnist.CLASS_NAMES)


def command(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # only the command itself may have to make its output appear in time
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two smoke runs of one seed, side by side: [(folder, stdout)]."""
    folders = [tmp_path_factory.mktemp("runs") / name for name in ("first", "second")]
    arguments = ("training.train", "--recipe", "quickstart", "--smoke", "--seed", 3, "--output")
    processes = [command(*arguments, folder) for folder in folders]
    finished = []
    for folder, process in zip(folders, processes, strict=True):
        stdout, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
        assert "Warning" not in stderr and "WARNING" not in stderr, stderr
        finished.append((folder, stdout))
    return finished


@pytest.fixture(scope="module")
def folder(runs):
    return runs[0][0]


@pytest.fixture(scope="module")
def report(folder):
    return json.loads((folder / "report.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def model(folder):
    return keras.models.load_model(folder / "model.keras")


@pytest.fixture(scope="module")
def held_out():
    return fashion_mnist.load()[1]


@pytest.fixture(scope="module")
def probabilities(model, held_out):
    return model.predict(held_out.images.astype("float32"), batch_size=250, verbose=0)


@pytest.mark.slow
def test_the_run_says_and_keeps_everything(runs, folder, report):
    stdout = runs[0][1]
    assert "epoch 2/2" in stdout and "images/s" in stdout and "left" in stdout
    assert f"RegionViT       {report['accuracy']:.1%}" in stdout
    assert f"linear softmax  {report['linear_softmax_accuracy']:.1%}" in stdout
    assert sorted(os.listdir(folder)) == [
        "checkpoints",
        "confusion_matrix.png",
        "info.json",
        "learning_curve.png",
        "log.csv",
        "model.keras",
        "predictions.json",
        "predictions.png",
        "report.json",
        "run.json",
        "saved_model",
        "tensorboard",
    ]
    assert os.listdir(folder / "saved_model") == ["1"]
    for plot in folder.glob("*.png"):
        with Image.open(plot) as image:
            image.verify()
    with open(folder / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    best = max(float(row["val_accuracy"]) for row in rows)
    assert best == pytest.approx(report["accuracy"], abs=1e-6)
    assert f"That is of epoch {report['epoch']} of 2, the best on these images" in stdout
    for name in ("train", "validation"):
        assert list((folder / "tensorboard" / name).glob("events.out.tfevents.*"))
    assert (report["recipe"], report["seed"], report["smoke"]) == ("quickstart", 3, True)


@pytest.mark.slow
def test_a_seed_gives_the_same_numbers_twice(runs, report):
    again = json.loads((runs[1][0] / "report.json").read_text("utf-8"))
    for key in ("accuracy", "linear_softmax_accuracy", "settings", "weights"):
        assert report[key] == again[key], key
    first, second = ((f / "predictions.json").read_bytes() for f, _ in runs)
    assert first == second
    first, second = ((f / "log.csv").read_bytes() for f, _ in runs)
    assert first == second


@pytest.mark.slow
def test_model_file_gives_the_reported_accuracy(report, probabilities, held_out):
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == held_out.labels) == report["accuracy"]


@pytest.mark.slow
def test_fresh_process_predicted_what_the_model_does(runs, folder, probabilities, held_out):
    samples = json.loads((folder / "predictions.json").read_text("utf-8"))
    assert len(samples) == 12
    for sample in samples:
        assert list(sample["probabilities"]) == NAMES
        expected = probabilities[sample["index"]]
        np.testing.assert_allclose(list(sample["probabilities"].values()), expected, atol=1e-5)
        assert sample["prediction"] == NAMES[expected.argmax()]
        assert sample["label"] == NAMES[held_out.labels[sample["index"]]]
        line = next(x for x in runs[0][1].splitlines() if x.startswith(sample["image"] + " "))
        assert f" {sample['prediction']} {expected.max():.1%}" in line
        right = sample["prediction"] == sample["label"]
        assert line.endswith("(right)" if right else f"(wrong: {sample['label']})")


@pytest.mark.slow
def test_saved_model(folder, model, probabilities, held_out):
    path = folder / "saved_model" / "1"
    loaded = tf.saved_model.load(str(path))
    serve, of_tensors = (loaded.signatures[k] for k in ("serving_default", "predict_pixels"))
    for start, stop in ((0, 1), (1, 8)):
        encoded = [tf.io.encode_png(image) for image in held_out.images[start:stop]]
        answer = serve(image_bytes=tf.stack(encoded))
        assert answer["valid"].numpy().all()
        images = tf.constant(held_out.images[start:stop], tf.float32)
        for found in (answer, of_tensors(images=images)):
            best = probabilities[start:stop].argmax(axis=1)
            assert [row[0].decode() for row in found["labels"].numpy()] == [NAMES[i] for i in best]
            np.testing.assert_allclose(found["probabilities"], probabilities[start:stop], atol=1e-5)
    data = sum(file.stat().st_size for file in (path / "variables").glob("*.data*"))
    assert data < 1.1 * 4 * sum(int(np.prod(w.shape)) for w in model.weights)  # not twice
    assert (path / "assets.extra" / "labels.txt").read_text("utf-8").splitlines() == NAMES


@pytest.mark.slow
def test_own_images(folder, probabilities, held_out, tmp_path, capsys):
    saved_model = folder / "saved_model" / "1"
    Image.fromarray(held_out.images[7, ..., 0]).save(tmp_path / "same.png")
    Image.fromarray(255 - held_out.images[7, ..., 0]).save(tmp_path / "negative.png")
    large = Image.fromarray(held_out.images[8, ..., 0]).convert("RGB").resize((280, 280))
    large.save(tmp_path / "large.jpg", quality=95)

    same, large = predict.run(saved_model, [tmp_path / "same.png", tmp_path / "large.jpg"])
    np.testing.assert_allclose(list(same["probabilities"].values()), probabilities[7], atol=1e-5)
    np.testing.assert_allclose(list(large["probabilities"].values()), probabilities[8], atol=0.05)
    (negative,) = predict.run(saved_model, [tmp_path / "negative.png"], invert=True)
    assert negative["probabilities"] == pytest.approx(same["probabilities"], abs=1e-6)

    status = predict.main(["--model", str(saved_model), str(tmp_path / "same.png")])
    output = capsys.readouterr()
    assert status == 0 and output.err == ""
    best = np.argsort(-probabilities[7])[:3]
    line = ", ".join(f"{NAMES[i]} {probabilities[7, i]:.1%}" for i in best)
    assert output.out == f"{tmp_path / 'same.png'}  {line}\n"


@pytest.mark.slow
def test_predict_bad_input(folder, tmp_path, capsys):
    saved_model = folder / "saved_model" / "1"
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    Image.new("L", (28, 28)).save(tmp_path / "good.png")
    good = tmp_path / "good.png"
    for arguments, status, said in (
        ([saved_model, tmp_path / "text.png"], 1, f"{tmp_path / 'text.png'} is not an image"),
        ([saved_model, tmp_path / "none.png"], 1, f"{tmp_path / 'none.png'} does not exist"),
        ([saved_model, tmp_path / "empty.png"], 1, f"{tmp_path / 'empty.png'} is empty"),
        ([saved_model], 2, "name at least one image"),
        ([saved_model, "--samples", "1001"], 2, "at most 1000"),
        ([folder.parent, good], 2, "did you mean"),
        ([tmp_path / "none", good], 2, "no saved_model.pb in it"),
        ([saved_model, good, "--json", tmp_path / "no" / "x.json"], 2, "cannot be written"),
    ):
        assert predict.main(["--model", *map(str, arguments)]) == status, arguments
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("error: ") and output.err.count("\n") == 1
        assert said in output.err, arguments


def test_predict_as_a_command_has_no_traceback(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"damaged")
    process = command("training.predict", "--model", tmp_path, "shirt.png")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 2 and stdout == ""
    assert stderr.startswith("error: ") and stderr.count("\n") == 1


def test_train_bad_input(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").write_bytes(b"precious")
    (tmp_path / "file").touch()
    for arguments, said in (
        (["--recipe", "nope"], "--recipe must be one of: ade20k_semantic_fpn, "),
        (["--recipe", "quickstart", "--output", tmp_path / "run"], "already holds files"),
        (["--recipe", "quickstart", "--output", tmp_path / "file"], "is a file"),
        (["--recipe", "quickstart", "--output", tmp_path / "file" / "x"], "cannot be made"),
    ):
        assert train.main(list(map(str, arguments))) == 2
        output = capsys.readouterr()
        assert output.err.startswith("error: ") and output.err.count("\n") == 1
        assert said in output.err
    assert (tmp_path / "run" / "model.keras").read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["file", "run"]


@pytest.mark.parametrize("seed", ["-1", "x", str(2**31)])
def test_bad_seed(seed, capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--recipe", "quickstart", "--seed", seed])
    assert stop.value.code == 2
    assert "must be a whole number" in capsys.readouterr().err


def test_run_folders_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [run_folder.new_folder(None, "quickstart") for _ in range(3)]
    assert [str(folder) for folder in made] == [
        "runs/quickstart",
        "runs/quickstart-2",
        "runs/quickstart-3",
    ]
    assert run_folder.new_folder("runs/quickstart-2", "quickstart") == made[1]  # still empty


def test_help_names_the_recipes(capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "quickstart" in text and "Fashion-MNIST" in text


def test_export_refuses_and_leaves_nothing_half_made(tmp_path):
    inputs = keras.Input((4, 4, 1))
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    for labels in (["a"], ["a", "b\nc"], ["a", ""]):
        with pytest.raises(ValueError, match="`labels` must have one line"):
            export_saved_model(model, tmp_path / "1", labels=labels)
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match="must not exist yet"):
        export_saved_model(model, tmp_path / "1", labels=["a", "b"])

    class Broken(keras.layers.Layer):
        def call(self, inputs):
            if not keras.backend.is_keras_tensor(inputs):
                raise RuntimeError("broken")
            return inputs

    with pytest.raises(RuntimeError, match="broken"):
        export_saved_model(keras.Model(inputs, Broken()(outputs)), tmp_path / "2")
    assert os.listdir(tmp_path) == ["1"]


def test_quiet_import_shows_what_failed(capfd):
    with quiet_import():
        os.write(2, b"a greeting\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), quiet_import():
        os.write(2, b"what went wrong\n")
        raise ImportError
    assert capfd.readouterr().err == "what went wrong\n"
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "later\n"
