"""Seconds until the first prediction, in fresh processes: python -m benchmarks.startup."""

import argparse
import json
import statistics
import subprocess
import sys

from benchmarks import pairs

CODE = """
import json, os, sys, time
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
begun = time.perf_counter()
import keras
keras_done = time.perf_counter()
import keras_regionvit
package_done = time.perf_counter()
model = keras_regionvit.RegionViTSmall(weights=None)
built = time.perf_counter()
import numpy as np
images = np.zeros((8, 224, 224, 3), "float32")
prepared = time.perf_counter()
model.compile(jit_compile=False)
model.predict(images, verbose=0)
print(json.dumps({
    "import keras": keras_done - begun,
    "import keras_regionvit, on top": package_done - keras_done,
    "RegionViTSmall()": built - package_done,
    "first predict, graph, batch 8": time.perf_counter() - prepared,
}))
"""


def main(arguments=None):
    """Prints the median and the range of each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    pairs.print_machine()
    runs = []
    for _ in range(options.rounds):
        command = [sys.executable, "-c", CODE]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        runs.append(json.loads(output.splitlines()[-1]))
    print(f"{'seconds':34}{'median':>8}{'min':>8}{'max':>8}")
    for step in runs[0]:
        times = [run[step] for run in runs]
        print(f"{step:34}{statistics.median(times):8.2f}{min(times):8.2f}{max(times):8.2f}")


if __name__ == "__main__":
    main()
