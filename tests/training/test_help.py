"""`--help` of every command: at once, without a library, and only what serves everyone."""

import subprocess
import sys

import pytest

from training import predict

COMMANDS = ["train", "evaluate", "export", "predict", "prediction.beam"]
# Runs a command where libraries are missing or must not be needed, which raises as if they were
# not installed; the exit status is the command's.
PROGRAM = """
import runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["command", *{words!r}]
runpy.run_module("training.{command}", run_name="__main__")
"""
LIBRARIES = ["tensorflow", "keras", "numpy", "keras_cv", "matplotlib", "apache_beam", "sklearn",
             "tensorflow_datasets", "tqdm", "PIL", "tensorboard"]  # fmt: skip


def run(command, words, missing):
    program = PROGRAM.format(command=command, words=words, missing=missing)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_library(command):
    done = run(command, ["--help"], LIBRARIES)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert f"usage: python -m training.{command} " in done.stdout


@pytest.mark.parametrize(
    ("command", "words", "missing"),
    [
        ("train", ["--recipe", "quickstart"], "keras_cv"),
        ("prediction.beam", ["--model", "x", "--folder", "x", "--output", "x"], "apache_beam"),
    ],
)
def test_a_missing_extra_is_one_sentence(command, words, missing):
    done = run(command, words, [missing])
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {missing} is not installed; pip install -e '.[train")
    assert done.stderr.count("\n") == 1


def test_help_of_predict_has_nothing_of_the_quick_start(capsys):
    with pytest.raises(SystemExit):
        predict.main(["--help"])
    text = capsys.readouterr().out
    for word in ("--samples", "--invert", "Fashion", "clothes", "quickstart"):
        assert word not in text
    for word in ("--model", "--folder", "--csv", "--json", "--checkpoint", "IMAGE"):
        assert word in text
