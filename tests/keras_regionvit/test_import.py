"""What importing the package costs and drags in."""

import subprocess
import sys

HEAVY = ("tensorflow_datasets", "keras_cv", "torch", "matplotlib", "jax")


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_loads_nothing_heavy():
    code = (
        "import keras, sys; before = set(sys.modules); import keras_regionvit; "
        "print(*(set(sys.modules) - before))"
    )
    added = {name.partition(".")[0] for name in run(code).split()}
    assert "keras_regionvit" in added
    assert not added & set(HEAVY)
