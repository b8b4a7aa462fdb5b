"""The engine trains a task that it does not know: `tests.support.finding_task`."""

import csv
import json
import os
import pathlib
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import finding_task
from training.data.inputs import eval_batches, open_inputs, train_batches
from training.engine.loop import BEST, LAST
from training.engine.steps import evaluate, evaluation_step

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = ROOT / "tests" / "support" / "finding_task.py"


def start(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, PROGRAM, *map(str, words)], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def state(folder):
    with np.load(folder / LAST, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def rows_of(folder):
    with open(folder / "log.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run with dropout: its folder."""
    folder = tmp_path_factory.mktemp("finding") / "run"
    output = finish(start(folder, "one", 0.3))
    assert "44 drawings to learn from, 21 held out" in output and "drawings/s" in output
    return folder


def test_it_trains_and_reports(whole):
    rows = rows_of(whole)
    assert list(rows[0]) == ["epoch", "loss", "bright", "count", "val_error", "learning_rate"]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row["loss"] == pytest.approx(row["bright"] + row["count"], rel=1e-5)
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    report = json.loads((whole / "report.json").read_text("utf-8"))
    assert report["error"] == min(row["val_error"] for row in rows)
    assert report["last_epoch"] == {"error": rows[-1]["val_error"]}
    assert rows[report["epoch"] - 1]["val_error"] == report["error"] and report["epochs"] == 4
    assert report["settings"]["task"] == "finding"
    assert {"model.keras", "learning_curve.png"} <= set(os.listdir(whole))


def test_its_best_epoch_is_the_least_error(whole):
    task = finding_task.FindingTask(finding_task.recipe(0.3))
    held_out = task.open_split("validation")
    model, evaluator = task.build_model(held_out.info), task.evaluator(held_out.info)
    model.load_weights(whole / BEST)
    step = evaluation_step(tf.distribute.get_strategy(), model, evaluator)
    found = evaluate(step, evaluator, eval_batches(task, held_out))
    assert evaluator.count == 21
    errors = [row["val_error"] for row in rows_of(whole)]
    assert found["error"] == pytest.approx(min(errors), rel=1e-5)
    assert max(errors) > 1.05 * min(errors)  # it matters which


@pytest.mark.slow
def test_it_resumes_bit_by_bit_after_a_kill(whole, tmp_path):
    folder = tmp_path / "run"
    process = start(folder, "one", 0.3, 2)
    deadline = time.monotonic() + 200
    while not (folder / LAST).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    meta = json.loads(str(state(folder)["meta"]))["meta"]
    assert 0 < meta["step"] < 20
    assert "resumed at step" in finish(start(folder, "one", 0.3, 2))
    first, second = state(whole), state(folder)
    assert set(first) == set(second)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
    assert (whole / "log.csv").read_bytes() == (folder / "log.csv").read_bytes()


@pytest.mark.slow
def test_two_replicas_agree_with_one(tmp_path):
    """The normaliser is that of the global batch: dots fall unevenly on replicas and parts."""
    for name in ("one", "mirrored:2"):
        finish(start(tmp_path / name, name, 0.0))
    one, two = state(tmp_path / "one"), state(tmp_path / "mirrored:2")
    for name, value in one.items():
        if value.dtype == np.float32:
            np.testing.assert_allclose(two[name], value, rtol=0, atol=1e-5, err_msg=name)
    for row, other in zip(rows_of(tmp_path / "one"), rows_of(tmp_path / "mirrored:2"), strict=True):
        assert other == pytest.approx(row, abs=1e-5)


def test_objects_are_padded_and_follow_the_image():
    task = finding_task.FindingTask(finding_task.recipe())
    inputs = open_inputs(task)
    counts = set()
    for batch, targets in train_batches(task, inputs, seed=0).take(5):
        for image, asked, bright, there in zip(
            batch["image"], batch["asked"], targets["bright"], targets["there"], strict=True
        ):
            places = np.round((np.array(asked) + 0.5) * finding_task.SIDE).astype(int)
            counts.add(int(np.sum(there)))
            for (row, column), value, real in zip(places, np.array(bright), there, strict=True):
                assert image[row, column, 0] == value if real else value == 0
    assert counts == set(range(finding_task.MOST + 1))


def test_the_normaliser_is_not_the_batch():
    """The logged loss is the mean over dots: the sums of an epoch over their number."""
    keras.utils.set_random_seed(0)
    task = finding_task.FindingTask(finding_task.recipe())
    model = task.build_model({"most": finding_task.MOST})
    inputs, targets = next(iter(eval_batches(task, task.open_split("validation"))))
    sums, dots = task.loss(targets, model(inputs))
    assert float(dots) == np.sum(targets["there"]) != len(targets["there"])
    assert set(sums) == {"bright", "count"}
