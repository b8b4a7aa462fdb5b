"""`python -m training.train` and `training.evaluate` as commands."""

import csv
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from training import evaluate, predict, train
from training.recipes import catalogue as recipes

TINY = {
    "data.images": 64, "model.embed_dims": "32,64", "model.depths": "1,1",
    "model.window_size": "2,2", "data.image_size": 16,
}  # fmt: skip
SETTINGS = [x for key, value in TINY.items() for x in ("--set", f"{key}={value}")]


def run(command, *arguments, capsys):
    """(status, stdout, stderr) of a command in this process."""
    status = command.main([str(x) for x in arguments])
    output = capsys.readouterr()
    return status, output.out, output.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny run with average and class names from folders: the run's folder."""
    root = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("validation", 7)):
        for name, colour in (("blue jay", (20, 40, 200)), ("cardinal", (200, 30, 30))):
            folder = root / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                noise = rng.integers(-20, 20, (24, 30, 3))
                Image.fromarray(np.uint8(np.clip(noise + colour, 0, 255))).save(
                    folder / f"{i}.jpg", quality=95
                )
    status = train.main([
        "--recipe", "folder", "--smoke", *SETTINGS[2:], "--data", f"folder:{root / 'photos'}",
        "--set", "classification.classes=2", "--set", "optimizer.ema=0.5", "--set",
        "optimizer.learning_rate=0.05", "--set", "data.batch_size=8", "--set", "schedule.epochs=3",
        "--set", "augment.mixup=0", "--set", "augment.cutmix=0", "--output", str(root / "out"),
    ])  # fmt: skip
    assert status == 0
    return root / "out"


def test_a_run_from_a_folder(finished, capsys):
    report = json.loads((finished / "report.json").read_text("utf-8"))
    record = json.loads((finished / "run.json").read_text("utf-8"))
    with open(finished / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    accuracies = [float(row["val_accuracy"]) for row in rows]
    best = max(i for i, value in enumerate(accuracies) if value == max(accuracies))  # the last
    assert report["accuracy"] == max(accuracies) >= 0.8  # blue or red
    assert (report["epoch"], report["epochs"]) == (best + 1, 3)
    assert report["last_epoch"]["accuracy"] == accuracies[-1]
    assert "val_top5_accuracy" not in rows[0]  # of two classes
    assert record["recipe"] == report["settings"]
    assert record["recipe"]["data"]["source"] == "folder" and record["data"].endswith("photos")
    assert record["seed"] == 0 and record["versions"]["tensorflow"] == tf.__version__
    assert set(os.listdir(finished)) == {
        "checkpoints", "classes.csv", "confusion_matrix.png", "info.json", "learning_curve.png",
        "log.csv", "model.keras", "predictions.png", "report.json", "run.json", "saved_model",
        "tensorboard",
    }  # fmt: skip
    with open(finished / "classes.csv", newline="") as file:
        classes = list(csv.DictReader(file))
    assert [(row["class"], row["images"]) for row in classes] == [
        ("blue jay", "7"), ("cardinal", "7")
    ]  # fmt: skip
    recalls = [float(row["recall"]) for row in classes]
    assert np.mean(recalls) == pytest.approx(report["accuracy"])

    # evaluation from the run's folder gives the metrics of its best epoch
    status, out, err = run(
        evaluate, "--run", finished, "--json", finished / "metrics.json", capsys=capsys
    )
    assert status == 0 and err == "" and f"accuracy        {report['accuracy']:.4f}" in out
    metrics = json.loads((finished / "metrics.json").read_text("utf-8"))
    (finished / "metrics.json").unlink()
    assert metrics["images"] == 14
    assert metrics["loss"] == pytest.approx(float(rows[best]["val_loss"]), rel=1e-5)
    assert metrics["checkpoint"] == f"best checkpoint, epoch {best + 1} of 3 so far"
    status, out, _ = run(
        evaluate, "--run", finished, "--checkpoint", "last", "--batch-size", 5, "--plots",
        finished.parent / "plots", capsys=capsys,
    )  # fmt: skip
    assert status == 0 and f"accuracy        {accuracies[-1]:.4f}" in out
    assert "last checkpoint, epoch 3\n" in out and "cardinal" in out
    assert set(os.listdir(finished.parent / "plots")) == {
        "classes.csv", "confusion_matrix.png", "learning_curve.png", "predictions.png"
    }  # fmt: skip

    # the exported model takes pixels and has the averaged weights
    names = ["blue jay", "cardinal"]
    photo = finished.parent / "photos" / "validation" / "cardinal" / "0.jpg"
    (result,) = predict.run(finished / "saved_model" / "1", [photo])
    assert list(result["probabilities"]) == names and result["prediction"] == "cardinal"


def test_evaluate_bad_input(finished, capsys):
    for arguments, said in (
        (["--run", finished / "none"], "is not the folder of a run"),
        (["--run", finished, "--data", "folder:/none"], "/none is not a folder"),
        (["--run", finished, "--data", "tfds:nothing"], "`data` must be one of"),
        (["--run", finished, "--data", "generated"], "generated is not a folder"),
    ):
        status, out, err = run(evaluate, *arguments, capsys=capsys)
        assert status == 2 and out == "" and err.count("\n") == 1 and said in err, err


def test_bad_options(tmp_path, capsys):
    for arguments, said in (
        ([], "--recipe NAME is missing"),
        (["--recipe", "nope"], "--recipe must be one of: ade20k_semantic_fpn, "),
        (["--recipe", "imagenet1k", "--set", "schedule.epoch=3"], "did you mean 'schedule.epochs'"),
        (["--recipe", "imagenet1k", "--set", "epochs=3"], "schedule.epochs"),
        (["--recipe", "finetune384"], "starts from trained weights"),
        (["--recipe", "folder", "--output", tmp_path / "a"], "--data must say where"),
        (["--recipe", "folder", "--data", "/none", "--output", tmp_path / "b"], "not a folder"),
        (["--recipe", "imagenet1k", "--smoke", "--weights", "none.keras", "--output",
          tmp_path / "c"], "a file that does not exist"),
        (["--recipe", "imagenet1k", "--smoke", "--set", "data.batch_size=5000", "--output",
          tmp_path / "d"], "`data.batch_size` must be at most the 512 images"),
        (["--resume", "--output", tmp_path / "e"], "needs --recipe"),
    ):  # fmt: skip
        status, _, err = run(train, *arguments, capsys=capsys)
        assert status == 2 and err.startswith("error: ") and err.count("\n") == 1, (arguments, err)
        assert said in err, err


def test_a_corrupt_image_is_named_or_left_out(finished, tmp_path, capsys):
    import shutil

    photos = tmp_path / "photos"
    shutil.copytree(finished.parent / "photos", photos)
    broken = photos / "train" / "cardinal" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    arguments = [
        "--recipe", "folder", "--smoke", *SETTINGS[2:], "--data", f"folder:{photos}", "--set",
        "classification.classes=2", "--set", "schedule.epochs=1", "--set",
        "schedule.warmup_epochs=0",
    ]  # fmt: skip
    status, _, err = run(train, *arguments, "--output", tmp_path / "a", capsys=capsys)
    assert status == 1 and err.count("\n") == 1 and str(broken) in err, err
    status, out, err = run(
        train, *arguments, "--skip-corrupt", "--output", tmp_path / "b", capsys=capsys
    )
    assert status == 0, err
    skipped = json.loads((tmp_path / "b" / "report.json").read_text("utf-8"))["skipped_images"]
    assert skipped <= 1 and f"{skipped} images could not be read" in out


def test_help_is_enough(capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for name in recipes.names():
        assert f"  {name} " in text
    for option in ("--data", "--precision", "--weights", "--resume", "--deterministic", "--set",
                   "--skip-corrupt", "--output", "--seed", "--smoke", "--dry-run"):  # fmt: skip
        assert option in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transfer_pets", "transfer_chestxray8", "finetune384"])
def test_smoke(name, tmp_path, capsys):
    status, _, err = run(
        train, "--recipe", name, "--smoke", *SETTINGS, "--output", tmp_path / "run", capsys=capsys
    )
    assert status == 0, err
    report = json.loads((tmp_path / "run" / "report.json").read_text("utf-8"))
    assert "top5_accuracy" not in report  # of four classes
    wanted = {"accuracy", "auc"} if name == "transfer_chestxray8" else {"accuracy"}
    assert wanted <= set(report) and report["smoke"] is True
    drawn = {"classes.csv", "confusion_matrix.png"} & set(os.listdir(tmp_path / "run"))
    assert len(drawn) == (1 if name == "transfer_chestxray8" else 2)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision(precision, tmp_path, capsys):
    status, _, err = run(
        train, "--recipe", "imagenet1k", "--smoke", "--precision", precision, *SETTINGS, "--set",
        "data.images=32", "--set", "schedule.epochs=1", "--set", "schedule.warmup_epochs=0",
        "--output", tmp_path / "run", capsys=capsys,
    )  # fmt: skip
    assert status == 0, err
    report = json.loads((tmp_path / "run" / "report.json").read_text("utf-8"))
    assert np.isfinite(report["loss"])
    assert keras.config.dtype_policy().name == "float32"  # no global policy
