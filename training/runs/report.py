"""The last words of a run."""

from pathlib import Path

import tqdm


def print_report(task, report, folder):
    """Prints what a run has reached and left.

    Args:
        task: a `training.tasks.task.Task`.
        report: the dict of `report.json`.
        folder: the run's folder.
    """
    if f"skipped_{task.unit}" in report:
        print(f"{report[f'skipped_{task.unit}']} {task.unit} could not be read and were left out")
    epoch, epochs = report["epoch"], report["epochs"]
    which = f"epoch {epoch} of {epochs}, the best on these {task.unit}"
    if epoch < epochs:
        which += f" (the last: {task.shown(report['last_epoch'])})"
    print(
        f"\nOn the held-out {task.unit}, seed {report['seed']}: {task.shown(report)}\n"
        f"That is of {which}\n"
        f"{tqdm.tqdm.format_interval(report['seconds'])} in all; {folder} holds "
        + ", ".join(sorted(path.name for path in Path(folder).iterdir()))
    )
    if task.next_step(folder):
        print(task.next_step(folder))
