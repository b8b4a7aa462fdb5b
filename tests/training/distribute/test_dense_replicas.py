"""Detection and segmentation over two replicas: the same as on one device."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = ROOT / "tests" / "support" / "dense_program.py"


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "segmentation", "mask_rcnn", "keypoint_rcnn"])
def test_two_replicas_are_as_one_device(task, tmp_path):
    """Weights and BatchNormalization's statistics; metrics with last batches of 1 and 3."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path, task, "one", "mirrored:2"],
        env=environment, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (np.load(tmp_path / f"{name}.npz") for name in ("one", "mirrored2"))
    assert sorted(one) == sorted(two)
    if task == "segmentation":
        assert any("moving_variance" in name for name in one)
    for name in one:
        assert np.isfinite(two[name]).all(), name
        if name == "keypoint_deconv/bias":  # a softmax over places is blind to it: its gradient
            continue  # is rounding alone, which AdamW makes as large as any
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-5, err_msg=name)
    one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("one", "mirrored2"))
    assert [row.get("count") for row in one] == [None, None, 7]
    for row, other in zip(one, two, strict=True):
        assert row.keys() == other.keys()
        for key in row:
            assert other[key] == pytest.approx(row[key], abs=1e-5), key
