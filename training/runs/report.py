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
    print(
        f"\nOn the held-out {task.unit}, seed {report['seed']}: {task.shown(report)}\n"
        f"{tqdm.tqdm.format_interval(report['seconds'])} in all; {folder} holds "
        + ", ".join(sorted(path.name for path in Path(folder).iterdir()))
    )
    if task.next_step(folder):
        print(task.next_step(folder))
