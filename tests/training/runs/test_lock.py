"""One process a run folder; a process that is killed leaves no lock behind."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from keras_regionvit.files import WriteError
from training import train
from training.runs.folder import new_folder, read_record, write_record
from training.runs.lock import LOCK, lock_file, lock_folder
from training.runs.plan import begin, make_plan

HOLDS = """
import sys, time
from training.runs.lock import lock_folder
with lock_folder(sys.argv[1], "in use"):
    print("locked", flush=True)
    time.sleep(600)
"""


def holder(folder):
    """A process that holds the lock of a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, folder], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout.readline() == "locked\n"
    return process


def options(*words):
    return train.parser().parse_args(["--recipe", "imagenet1k", "--smoke", *map(str, words)])


def test_a_second_process_is_refused(tmp_path, capsys):
    """Whether it resumes or begins, as long as the first one lives, and changes nothing."""
    folder = tmp_path / "run"
    folder.mkdir()
    process = holder(folder)
    try:
        command = ["--recipe", "imagenet1k", "--smoke", "--output", str(folder)]
        assert train.main(command) == 2  # an empty folder that the first is about to begin in
        plan = make_plan(options("--output", folder))
        assert os.listdir(folder) == [LOCK]
        write_record(folder, plan.recipe, 0, True, None)
        before = (folder / "run.json").read_bytes()
        assert train.main(["--resume", str(folder)]) == 2
        for line in capsys.readouterr().err.splitlines():
            assert line == (
                f"error: another process trains in {folder}; stop it first, or name another "
                "--output"
            )
        assert sorted(os.listdir(folder)) == [LOCK, "run.json"]
        assert (folder / "run.json").read_bytes() == before
        assert read_record(folder)[0]["seed"] == 0  # to read is allowed
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with lock_folder(folder, "in use"):
        assert (folder / LOCK).exists()
    assert os.listdir(folder) == ["run.json"]


def test_two_begin_in_one_folder_at_once(tmp_path):
    """Of many that find it empty one begins; the others are refused, also when it has ended."""
    plan = make_plan(options("--output", tmp_path / "run"))
    ends, results = threading.Event(), []

    def begins():
        with contextlib.ExitStack() as held:
            try:
                results.append(begin(plan, held))
                ends.wait(60)
            except ValueError as error:
                results.append(str(error))

    threads = [threading.Thread(target=begins) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(results) < 8:
        assert any(thread.is_alive() for thread in threads)
    ends.set()
    for thread in threads:
        thread.join()
    begun = [x for x in results if x == str(tmp_path / "run")]
    refused = [x for x in results if "another process trains in" in x or "already holds" in x]
    assert len(begun) == 1 and len(refused) == 7
    assert os.listdir(tmp_path / "run") == ["run.json"]


def test_what_a_killed_beginning_leaves_is_no_run(tmp_path):
    (tmp_path / LOCK).touch()
    assert new_folder(tmp_path, "mine") == tmp_path


def test_a_folder_without_locks(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("training.runs.lock.fcntl.flock", no_locks)
    with lock_folder(tmp_path, "in use"), open(tmp_path / "a", "w") as file:
        lock_file(file, "in use")


def test_a_folder_that_cannot_be_written_to():
    with (
        pytest.raises(WriteError, match="/proc cannot be written to"),
        lock_folder("/proc", "in use"),
    ):
        pass
