"""Runs that were stopped: exported, used, evaluated, drawn, and ended earlier than begun."""

import csv
import json
import os
import shutil
import signal

import numpy as np
import pytest

from keras_regionvit.export.model_card import read_card
from tests.support.photos import KINDS
from training import evaluate, export, predict, train
from training.engine import checkpoint
from training.engine.loop import BEST, LAST, Loop
from training.engine.progress import Progress
from training.prediction.predictor import Predictor

TINY = {
    "data.images": 48, "schedule.epochs": 4, "schedule.warmup_epochs": 3, "optimizer.ema": 0.5,
    "model.embed_dims": "32", "model.depths": "1", "model.window_size": "2",
    "data.image_size": 16, "augment.auto_augment": "", "augment.mixup": 0, "augment.cutmix": 0,
}  # fmt: skip
COMMAND = [
    "--recipe", "imagenet1k", "--smoke",
    *(x for key, value in TINY.items() for x in ("--set", f"{key}={value}")),
]  # fmt: skip


def run(command, *arguments, capsys):
    """(status, stdout, stderr) of a command in this process."""
    status = command.main([str(x) for x in arguments])
    output = capsys.readouterr()
    return status, output.out, output.err


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run of four epochs that was stopped in its third: its folder."""
    folder = tmp_path_factory.mktemp("runs") / "begun"
    end_epoch = Loop.end_epoch

    def and_stop(self, validation):
        end_epoch(self, validation)
        if len(self.state.history) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "end_epoch", and_stop)
        assert train.main([*COMMAND, "--output", str(folder)]) == 128 + signal.SIGTERM
    return folder


@pytest.fixture
def stopped(begun, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(begun, tmp_path / "run")


def history(folder):
    return checkpoint.read_position(folder / LAST)["history"]


def best_of(folder):
    values = [row["val_accuracy"] for row in history(folder)]
    return max(i for i, value in enumerate(values) if value == max(values))


@pytest.mark.slow
def test_a_stopped_run_is_exported_from_any_checkpoint(stopped, tmp_path, capsys):
    last = checkpoint.read_position(stopped / LAST)
    assert last["step"] == 6 and len(last["history"]) == 2
    assert not {"model.keras", "saved_model", "report.json", ".lock"} & set(os.listdir(stopped))
    for number, which in enumerate((None, "last"), 1):
        output = tmp_path / "serving" / str(number)
        words = [] if which is None else ["--checkpoint", which]
        status, _, err = run(export, "--model", stopped, "--output", output, *words, capsys=capsys)
        assert status == 0, err
        card, best = read_card(output), best_of(stopped)
        row = history(stopped)[-1 if which == "last" else best]
        assert card["metrics"]["accuracy"] == row["val_accuracy"]
        wanted = "last checkpoint, epoch 2" if which == "last" else f"epoch {best + 1} of 2"
        assert card["source"].startswith(str(stopped)) and wanted in card["source"]
        (exported,), (direct,) = (
            predictor([KINDS["png"]])
            for predictor in (Predictor(output), Predictor(stopped, which))
        )
        np.testing.assert_allclose(exported.probabilities, direct.probabilities, atol=1e-6)


def test_best_and_last_are_told_apart(stopped, capsys):
    """The best is an epoch with other weights here, written by hand."""
    from training.runs.folder import read_record
    from training.runs.trained import load_trained, read_info
    from training.tasks import open_task

    _, recipe = read_record(stopped)
    model = open_task(recipe).build_model(read_info(stopped))
    load_trained(model, stopped, "last")
    model.layers[-1].kernel.assign(-np.asarray(model.layers[-1].kernel))
    model.save_weights(stopped / BEST)
    (best,), (last,), (default,) = (
        Predictor(stopped, which)([KINDS["png"]]) for which in ("best", "last", None)
    )
    assert np.abs(best.probabilities - last.probabilities).max() > 1e-3
    np.testing.assert_array_equal(best.probabilities, default.probabilities)
    (stopped / BEST).unlink()  # as of a run whose first epoch has not ended
    (default,) = Predictor(stopped)([KINDS["png"]])
    np.testing.assert_array_equal(last.probabilities, default.probabilities)
    status, _, err = run(
        predict, "--model", stopped, "--checkpoint", "best", "x.png", capsys=capsys
    )
    assert status == 2 and "best.weights.h5 does not exist; the run has not come to an" in err
    (stopped / LAST).unlink()
    status, _, err = run(predict, "--model", stopped, "x.png", capsys=capsys)
    assert status == 2 and "has no checkpoint yet; it goes on with" in err


def test_what_has_no_checkpoint(tmp_path, capsys):
    (tmp_path / "a.keras").write_text("x")
    for command, words in ((predict, ["x.png"]), (export, ["--output", tmp_path / "1"])):
        status, _, err = run(
            command, "--model", tmp_path / "a.keras", "--checkpoint", "best", *words, capsys=capsys
        )
        assert status == 2 and "--checkpoint is for the folder of a run" in err


def test_names_of_classes_are_kept_with_the_run(stopped, capsys):
    """A run that has them nowhere asks its data, and other data are refused."""
    path = stopped / "info.json"
    info = json.loads(path.read_text("utf-8"))
    names = list(info["class_names"])
    assert len(names) == 4
    path.unlink()
    assert Predictor(stopped).labels == names
    info["class_names"][1] = "another"
    path.write_text(json.dumps(info))
    assert Predictor(stopped).labels[1] == "another"
    before = (stopped / LAST).read_bytes()
    status, _, err = run(train, "--resume", stopped, capsys=capsys)
    assert status == 2 and err.count("\n") == 1
    assert f"the class names of the data are not those that the run in {stopped} began with" in err
    assert (stopped / LAST).read_bytes() == before
    for damaged in ("", "[]", "[" * 100_000, '{"class_names": 3}'):
        path.write_text(damaged)
        status, _, err = run(predict, "--model", stopped, "x.png", capsys=capsys)
        assert status == 2 and err.count("\n") == 1 and len(err) < 400


@pytest.mark.slow
def test_a_stopped_run_is_evaluated_and_drawn(stopped, tmp_path, capsys):
    status, out, err = run(
        evaluate, "--run", stopped, "--plots", tmp_path / "plots", "--json", tmp_path / "m.json",
        capsys=capsys,
    )  # fmt: skip
    assert status == 0, err
    best = best_of(stopped)
    assert f"best checkpoint, epoch {best + 1} of 2 so far" in out
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert metrics["accuracy"] == pytest.approx(history(stopped)[best]["val_accuracy"])
    assert sorted(os.listdir(tmp_path / "plots")) == [
        "classes.csv", "confusion_matrix.png", "learning_curve.png", "predictions.png"
    ]  # fmt: skip


@pytest.mark.slow
def test_a_run_ends_earlier_than_begun(stopped, capsys):
    for epochs, said in ((9, "schedule.epochs=4, not 9"), ("x", "must be a whole number"),
                         (0, "at least 1")):  # fmt: skip
        status, _, err = run(
            train, "--resume", stopped, "--set", f"schedule.epochs={epochs}", capsys=capsys
        )
        assert status == 2 and said in err and err.count("\n") == 1, err
    with np.load(stopped / LAST) as file:
        before = {name: file[name] for name in file.files}
    status, out, err = run(train, "--resume", stopped, "--set", "schedule.epochs=1", capsys=capsys)
    assert status == 0, err
    assert "is to end after 1 epochs in place of 4" in out and "resumed at step 6\n" in out
    with np.load(stopped / LAST) as file:
        assert all(np.array_equal(file[name], before[name]) for name in before)
    with open(stopped / "log.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    record = json.loads((stopped / "run.json").read_text())
    assert record["recipe"]["schedule"]["epochs"] == 1 and record["epochs_before"] == 4
    report = json.loads((stopped / "report.json").read_text())
    assert report["epoch"] == best_of(stopped) + 1 and report["epochs"] == 2
    assert {"model.keras", "learning_curve.png", "classes.csv"} <= set(os.listdir(stopped))
    assert "nan" not in out
    # what was exported is the best epoch
    (found,), (best,) = (Predictor(stopped, which)([KINDS["png"]]) for which in (None, "best"))
    np.testing.assert_allclose(found.probabilities, best.probabilities, atol=1e-5)


@pytest.mark.slow
def test_an_earlier_end_that_is_still_to_come(stopped, capsys):
    """The third epoch is trained, by the shorter schedule, and counted as the run began to.

    Version 0.1.0 began at 0.
    """
    with np.load(stopped / LAST) as file:
        arrays = {name: file[name] for name in file.files}
    text = json.loads(str(arrays["meta"]))
    for i, row in enumerate(text["meta"]["history"]):
        row["epoch"] = i
    np.savez(stopped / LAST, **{**arrays, "meta": np.array(json.dumps(text))})
    words = ["--resume", stopped, "--set", "schedule.epochs=3"]
    status, out, err = run(train, *words, capsys=capsys)
    assert status == 0, err
    assert "resumed at step 6 of 9" in out and "epoch 3/3" in out
    with open(stopped / "log.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]
    status, out, _ = run(train, "--resume", stopped, capsys=capsys)
    assert status == 0 and "is complete" in out


def test_no_speed_where_no_step_was_taken(capsys):
    progress = Progress(10, 3, 8, "images", step=20)
    progress.epoch_ended({"epoch": 2, "loss": 0.5}, 2)
    progress.close()
    assert capsys.readouterr().out == "epoch 2/3  loss 0.5000\n"
