"""What a run says at its end: versions, and the exported model's own word."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_regionvit

ROOT = Path(__file__).resolve().parents[2]


def predict_in_fresh_process(saved_model, samples, path):
    """Lets `training.predict` load a SavedModel and predict held-out images; prints its words.

    Args:
        saved_model: folder of the SavedModel.
        samples: how many images.
        path: the JSON file that the other process writes.

    Returns:
        The list in that file, see `training.predict.run`.

    Raises:
        RuntimeError: the other process fails.

    Example:

    >>> predict_in_fresh_process("runs/mine/saved_model/1", 10, "runs/mine/predictions.json")
    """
    arguments = ["--model", saved_model, "--samples", samples, "--json", path]
    arguments = [str(x.resolve() if isinstance(x, Path) else x) for x in arguments]
    print(f"\nThe exported model, loaded in a fresh process, on {samples} held-out images:")
    done = subprocess.run(
        [sys.executable, "-m", "training.predict", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the exported model cannot be used: {done.stderr.strip()}")
    print(done.stdout, end="")
    return json.loads(Path(path).read_text("utf-8"))


def versions():
    """Versions of what the figures depend on, a dict of strings."""
    return {
        "keras_regionvit": keras_regionvit.__version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
