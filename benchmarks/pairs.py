"""Measures subjects in turn, A B C A B C ..., each in a process of its own.

The machine's speed drifts; a ratio of two measurements made one after the other does not.
"""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib import metadata

PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "torch",
    "openvino",
    "birder",
    "transformers",
    "keras-hub",
)


class Worker:
    """A process with one subject, asleep between measurements.

    Attributes:
        command: what Python runs, before the task.
    """

    command: tuple[str, ...] = ("-m", "benchmarks.worker")

    def __init__(self, **task):
        process = subprocess.Popen(
            [sys.executable, *self.command, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin and process.stdout and process.stderr  # as asked for
        self.process, self.stdin = process, process.stdin
        self.stdout, self.stderr = process.stdout, process.stderr
        self.ready = self._answer()

    def _answer(self):
        line = self.stdout.readline()
        if not line:
            tail = self.stderr.read().strip().splitlines()[-1:]
            raise RuntimeError(tail[0] if tail else "the process ended without a word")
        return json.loads(line)

    def measure(self):
        """`{"seconds": of one step, "peak": MiB over the imports so far}`."""
        self.stdin.write("go\n")
        self.stdin.flush()
        return self._answer()

    def close(self):
        """Ends the process."""
        self.stdin.close()
        self.process.wait()


def measure(task, subjects, *, model="small", batch=8, size=224, rounds=7):
    """Rounds of all subjects in turn.

    Args:
        task: "inference" or "training".
        subjects: names in `benchmarks.subjects`.
        model: variant of the Keras subjects.
        batch: images a step.
        size: pixels a side.
        rounds: measurements of each subject.

    Returns:
        `({subject: [seconds]}, {subject: peak MiB}, {subject: {"build", "first"} seconds})`;
        a subject whose package is missing is said and left out.
    """
    workers = {}
    for subject in subjects:
        print(f"starting {subject} ...", file=sys.stderr)
        try:
            workers[subject] = Worker(
                subject=subject, task=task, model=model, batch=batch, size=size
            )
        except RuntimeError as error:
            print(f"left out: {subject}: {error}")
    seconds: dict[str, list[float]] = {subject: [] for subject in workers}
    peaks: dict[str, float] = {}
    try:
        for _ in range(rounds):
            for subject, worker in workers.items():
                answer = worker.measure()
                seconds[subject].append(answer["seconds"])
                peaks[subject] = answer["peak"]
    finally:
        for worker in workers.values():
            worker.close()
    return seconds, peaks, {subject: worker.ready for subject, worker in workers.items()}


def ratio(seconds, subject, reference):
    """Median over the rounds of how many times faster `subject` was than `reference`."""
    pairs = zip(seconds[reference], seconds[subject], strict=True)
    return statistics.median(there / here for there, here in pairs)


def print_machine():
    """One line each: the machine, the versions, the date."""
    model = platform.processor() or platform.machine()
    with open("/proc/cpuinfo") as file:
        model = next((x.split(":")[1].strip() for x in file if x.startswith("model name")), model)
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0))
    print(f"{model}, {cores} cores; {', '.join(versions)}; {datetime.date.today()}")
