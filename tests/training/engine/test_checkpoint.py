"""Checkpoints, and runs that are killed, stopped or run out of disk."""

import csv
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest

import keras_regionvit
from keras_regionvit.files import WriteError, remove_leftovers, replacing
from training import train
from training.engine import checkpoint
from training.engine.loop import LAST

ROOT = pathlib.Path(keras_regionvit.__file__).parents[1]
# Average, accumulation, clipping, drop-path, colour, mixing, erasing; RandAugment takes long to
# trace.
TINY = {
    "data.images": 160, "schedule.epochs": 3, "optimizer.ema": 0.9, "optimizer.accumulation": 2,
    "optimizer.clip_norm": 1, "model.embed_dims": "32", "model.depths": "2",
    "model.window_size": "2", "data.image_size": 16, "augment.auto_augment": "",
}  # fmt: skip
COMMAND = [
    "--recipe", "imagenet1k", "--smoke", "--deterministic", "--save-every", "2",
    *(x for key, value in TINY.items() for x in ("--set", f"{key}={value}")),
]  # fmt: skip


def start(*arguments, **kwargs):
    # TensorFlow's log level is the command's own business
    kwargs["env"] = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(
        [sys.executable, "-m", "training.train", *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs,
    )  # fmt: skip


def finish(process):
    stdout, stderr = process.communicate(timeout=300)
    return process.returncode, stdout, stderr


def state(folder):
    with np.load(folder / LAST, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def assert_same_end(folder, other):
    """Bit by bit: weights, optimizer, average, seeds, history, and what was written of it."""
    first, second = state(folder), state(other)
    assert set(first) == set(second)
    assert {name.split("/")[0] for name in first} == {"model", "optimizer", "average", "meta"}
    for name, value in first.items():
        assert value.dtype == second[name].dtype
        np.testing.assert_array_equal(value, second[name], err_msg=name)
    assert (folder / "log.csv").read_bytes() == (other / "log.csv").read_bytes()
    with open(folder / "log.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    assert scalars(folder) == scalars(other)
    assert not list(folder.rglob(".aside-*"))


def scalars(folder):
    """{(part, tag, step): value} of the TensorBoard files; each must be there once."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    found = {}
    for file in (folder / "tensorboard").rglob("events*"):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                key = (file.parent.name, value.tag, event.step)
                assert key not in found
                found[key] = float(make_ndarray(value.tensor))
    assert len({step for _, _, step in found}) == 3
    return found


def wait_for(process, text):
    """Reads what the command prints up to a line with `text`."""
    for line in process.stdout:
        if text in line:
            return


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: (folder, seconds from the model's making to the last step)."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    process = start(*COMMAND, "--output", folder)
    wait_for(process, "images to learn from")
    begun = time.monotonic()
    wait_for(process, "epoch 3/3")
    seconds = time.monotonic() - begun
    status, _, stderr = finish(process)
    assert status == 0, stderr
    return folder, seconds


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, *([10] if os.environ.get("KILLS") else [])])
def test_killed_at_random_moments_and_resumed(whole, tmp_path, kills):
    """A run that is killed again and again ends as the uninterrupted one, bit by bit."""
    folder, seconds = whole
    draw = random.Random(kills)
    steps_seen = []
    for _ in range(kills):
        process = start(*COMMAND, "--output", tmp_path / "run", "--resume")
        wait_for(process, "images to learn from")
        threading.Timer(seconds * draw.uniform(0.2, 0.9), process.kill).start()
        process.communicate(timeout=300)
        last = tmp_path / "run" / LAST
        steps_seen.append(checkpoint.read_position(last)["step"] if last.exists() else 0)
    assert steps_seen == sorted(steps_seen)
    status, _, stderr = finish(start(*COMMAND, "--output", tmp_path / "run", "--resume"))
    assert status == 0, stderr
    print("steps at the kills:", steps_seen)
    assert_same_end(folder, tmp_path / "run")


@pytest.mark.slow
def test_sigterm_saves_and_exits(whole, tmp_path):
    folder = tmp_path / "run"
    process = start(*COMMAND, "--save-every", "0", "--output", folder)
    wait_for(process, "epoch 1/3")
    process.send_signal(signal.SIGTERM)
    status, _, stderr = finish(process)
    assert status == 128 + signal.SIGTERM
    assert stderr.startswith("stopped by SIGTERM at step ") and stderr.count("\n") == 1
    assert f"python -m training.train --resume {folder}" in stderr
    assert checkpoint.read_position(folder / LAST)["step"] >= 10
    # a changed setting or seed is refused, in a sentence, and nothing is touched
    before = (folder / LAST).read_bytes()
    for arguments, said in (
        (["--set", "optimizer.weight_decay=0.1"], "optimizer.weight_decay=0.05, not 0.1"),
        (["--seed", "7"], "seed=0, not 7"),
        (["--recipe", "imagenet21k"], "name='imagenet1k', not 'imagenet21k'"),
        (["--precision", "bfloat16"], "compute.precision='float32', not 'bfloat16'"),
        (["--output", tmp_path / "other"], "leave out --output"),
    ):
        status, _, stderr = run_main("--resume", folder, *arguments)
        assert status == 2 and said in stderr and stderr.count("\n") == 1, stderr
    assert (folder / LAST).read_bytes() == before
    status, stdout, stderr = finish(start("--resume", folder))
    assert status == 0 and "resumed at step" in stdout, stderr
    assert_same_end(whole[0], folder)
    status, stdout, _ = run_main("--resume", folder)
    assert status == 0 and "is complete" in stdout


def run_main(*arguments):
    """The command in this process: (status, stdout, stderr)."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = train.main([str(x) for x in arguments])
    return status, out.getvalue(), err.getvalue()


@pytest.mark.slow
def test_full_disk(whole, tmp_path):
    """A checkpoint that does not fit any more: one sentence, the one before is intact."""
    folder = tmp_path / "run"
    size = (whole[0] / LAST).stat().st_size
    process = start(*COMMAND, "--output", folder, "--save-every", "0")
    wait_for(process, "epoch 1/3")
    # every file may now have half of the bytes that a checkpoint has
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size // 2, size // 2))
    status, _, stderr = finish(process)
    assert status == 1
    assert stderr.startswith(f"error: {folder}") and "cannot be written: File too large" in stderr
    assert stderr.count("\n") == 1
    meta = checkpoint.read_position(folder / LAST)
    assert meta["step"] in (10, 20)
    assert state(folder).keys() == state(whole[0]).keys()
    assert not list(folder.rglob(".aside-*"))


# Parts


def small_model(units=3):
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dropout(0.1)]
    )


def test_restores_all_or_nothing(tmp_path):
    model, path = small_model(), tmp_path / "last.npz"
    checkpoint.save(path, {"model": model.variables}, {"step": 7, "history": [{"loss": 0.1}]})
    saved = [np.array(v) for v in model.variables]
    assert len(saved) == 3  # kernel, bias and the seed of the dropout
    other = small_model()
    other.layers[0].kernel.assign(np.ones((4, 3)))
    assert checkpoint.restore(path, {"model": other.variables})["step"] == 7
    for value, variable in zip(saved, other.variables, strict=True):
        np.testing.assert_array_equal(value, variable)
    assert checkpoint.read_position(path) == {"step": 7, "history": [{"loss": 0.1}]}

    wrong = small_model(5)
    before = [np.array(v) for v in wrong.variables]
    for groups in ({"model": wrong.variables}, {"model": wrong.variables[:2]},
                   {"model": model.variables, "optimizer": model.variables}):  # fmt: skip
        with pytest.raises(ValueError, match=f"{path} is the checkpoint of another model") as error:
            checkpoint.restore(path, groups)
        assert "\n" not in str(error.value)
    for value, variable in zip(before, wrong.variables, strict=True):
        np.testing.assert_array_equal(value, variable)


def test_damaged_files(tmp_path):
    path, model = tmp_path / "last.npz", small_model()
    with pytest.raises(ValueError, match="does not exist"):
        checkpoint.restore(path, {})
    checkpoint.save(path, {"model": model.variables}, {})
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(np.array(model.variables[0]).tobytes())] ^= 1
    np.save(tmp_path / "array.npy", np.arange(3))
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, meta=np.array([{"a": 1}], dtype=object))
    for damaged in (b"", b"text", whole[: len(whole) // 2], bytes(flipped),
                    (tmp_path / "array.npy").read_bytes(), pickled.read_bytes()):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{path} is damaged") as error:
            checkpoint.restore(path, {"model": model.variables})
        assert "\n" not in str(error.value)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path, model = tmp_path / "last.npz", small_model()
    checkpoint.save(path, {"model": model.variables}, {"step": 1})
    before = path.read_bytes()
    said = "No space left on device; the one before is intact"
    with (
        pytest.raises(WriteError, match=said),
        replacing(path),
        open("/dev/full", "wb") as full,
    ):
        full.write(b"x" * 10_000)
    with pytest.raises(KeyboardInterrupt), replacing(path) as aside:
        aside.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["last.npz"]
    missing = tmp_path / "none" / "last.npz"
    with pytest.raises(WriteError, match=f"{missing} cannot be written: No such"):
        checkpoint.save(missing, {}, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path):
    path = tmp_path / "run" / "last.npz"
    path.parent.mkdir()
    checkpoint.save(path, {}, {"step": 1})
    path.parent.chmod(0o500)
    try:
        with pytest.raises(WriteError, match="Permission denied; the one before is"):
            checkpoint.save(path, {}, {"step": 2})
        status, _, stderr = run_main("--recipe", "imagenet1k", "--output", path.parent / "new")
        assert status == 2 and "cannot be made: Permission denied" in stderr
    finally:
        path.parent.chmod(0o700)
    assert checkpoint.read_position(path) == {"step": 1}


def test_a_folder_that_nobody_can_write_to():
    """Not even root: the system's own."""
    with pytest.raises(WriteError, match=r"/proc/last\.npz cannot be written"):
        checkpoint.save("/proc/last.npz", {}, {})
    status, _, stderr = run_main("--recipe", "imagenet1k", "--output", "/proc/run")
    assert status == 2 and "--output /proc/run cannot be made: " in stderr
    assert stderr.count("\n") == 1


def test_leftovers_of_a_kill_are_removed(tmp_path):
    (tmp_path / ".aside-123-last.npz").write_bytes(b"half")
    (tmp_path / "last.npz").write_bytes(b"whole")
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["last.npz"]


def test_resume_needs_a_run(tmp_path):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text(json.dumps({"recipe": {"name": "x"}}))
    for folder, said in (("none", "not the folder of a run"), ("damaged", "is damaged")):
        status, _, stderr = run_main("--resume", tmp_path / folder)
        assert status == 2 and said in stderr and stderr.count("\n") == 1
