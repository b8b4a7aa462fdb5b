"""Detection and segmentation: a run that is killed and resumed ends as one that is not."""

import json
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from training.engine import checkpoint
from training.engine.loop import LAST

ROOT = pathlib.Path(__file__).parents[3]


def start(task, folder, *more):
    changes = [f"{task}.width=8", "data.images=8", "data.batch_size=2", "optimizer.ema=0.9"]
    if task == "segmentation":
        changes.append("segmentation.head_width=8")
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    words = [
        "--recipe", f"quickstart_{task}", "--smoke", "--deterministic", "--save-every", "1",
        "--output", str(folder), *(x for change in changes for x in ("--set", change)),
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "training.train", *words, *more], cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process):
    _, stderr = process.communicate(timeout=900)
    return process.returncode, stderr


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_killed_and_resumed(task, tmp_path):
    """The kill comes once a step is saved; which step it is does not matter."""
    status, stderr = finish(start(task, tmp_path / "whole"))
    assert status == 0, stderr
    killed = start(task, tmp_path / "run")
    while not (tmp_path / "run" / LAST).exists() and killed.poll() is None:
        threading.Event().wait(0.01)
    killed.kill()
    killed.communicate()
    step = checkpoint.read_position(tmp_path / "run" / LAST)["step"]
    assert 0 < step < 8
    status, stderr = finish(start(task, tmp_path / "run", "--resume"))
    assert status == 0, stderr
    with np.load(tmp_path / "whole" / LAST) as one, np.load(tmp_path / "run" / LAST) as other:
        assert sorted(one) == sorted(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    files = [
        "log.csv",
        *({"detection": ["detections.json"], "segmentation": ["classes.csv"]}[task]),
    ]
    for name in files:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    reports = [json.loads((tmp_path / x / "report.json").read_text()) for x in ("whole", "run")]
    assert reports[0]["last_epoch"] == reports[1]["last_epoch"]
