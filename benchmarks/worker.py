"""A process that runs one subject whenever it is told to: python -m benchmarks.worker '{...}'.

Prints a line of JSON when it is ready and after each line on stdin; ends with stdin.
"""

import importlib
import json
import os
import sys
import time

IMPORTS = {"keras": ("tensorflow", "keras_regionvit"), "torch": ("torch",)}


def memory(field):
    """A field of this process' status, `VmRSS` or `VmHWM`, in MiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) / 1024


def main():
    """Serves one subject."""
    task = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print: the answers have a channel of their own
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from benchmarks import subjects

    for name in IMPORTS.get(task["subject"].split()[0], ()):
        importlib.import_module(name)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak counts from here, after the imports
    base = memory("VmRSS")
    begun = time.perf_counter()
    factory = subjects.TASKS[task["task"]][task["subject"]]
    step = factory(task["model"], task["batch"], task["size"])
    built = time.perf_counter()
    step()
    first = time.perf_counter()
    ready = {"build": built - begun, "first": first - built}
    print(json.dumps(ready), file=answers, flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        step()
        seconds = time.perf_counter() - begun
        answer = {"seconds": seconds, "peak": memory("VmHWM") - base}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
