"""Masks and keypoints are evaluated over two replicas as on one device, texts and all."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = ROOT / "tests" / "support" / "instances_program.py"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["masks", "keypoints"])
def test_two_replicas_are_as_one_device(kind):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, PROGRAM, kind],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = json.loads(done.stdout.splitlines()[-1])
    assert one["count"] == two["count"] == 13
    assert 0.03 < one[f"{kind[:-1]}_AP"] < 0.95
    assert two == pytest.approx(one, abs=1e-9)
