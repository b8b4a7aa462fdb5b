"""What a run has learnt so far, whether it has ended or not: its weights, metrics and curves."""

import json
from pathlib import Path

from keras_regionvit import visualize
from keras_regionvit.files import WriteError, write_json
from keras_regionvit.weights.keras_file import load_keras_file
from training.engine import checkpoint
from training.engine.loop import BEST, LAST, best_epoch
from training.engine.state import make_average

INFO = "info.json"  # what the data is, so that a model can be used without it
CHECKPOINTS = ("best", "last")


def keep_info(folder, info):
    """Writes what a source says of its data beside the record, the first time.

    Args:
        folder: the run's folder, which is made if missing.
        info: of the source.

    Raises:
        ValueError: the run began with other data.
        WriteError: it cannot be written.

    Example:

    >>> keep_info("runs/mine", source.info)
    """
    path, found = Path(folder, INFO), json.loads(json.dumps(info))
    before = read_info(folder)
    if before is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{folder} cannot be made: {error.strerror}.") from error
        write_json(path, found)
        return
    for key in found.keys() & before.keys():
        if _tuples(found[key]) != before[key]:
            raise ValueError(
                f"the {key.replace('_', ' ')} of the data are not those that the run in {folder} "
                f"began with, which {path} has; give it the same data, or begin a new run."
            )


def read_info(folder):
    """What the data of a run is, a dict as `info` of its source; `None` if it is not kept.

    Raises:
        ValueError: the file is damaged.
    """
    path = Path(folder, INFO)
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: it is no JSON of an object.")
    return {key: _tuples(value) for key, value in found.items()}


def info_of(folder, record, task):
    """What the data of a run is: as it is kept, or else as the data says.

    Args:
        folder: the run's folder.
        record: its `run.json`, a dict.
        task: its `training.tasks.task.Task`.

    Raises:
        ValueError: neither is there.
    """
    found = read_info(folder)
    if found is None:  # of a run that began before it was kept
        found = task.open_others(task.recipe.data.eval_split, record.get("data")).info
    return found


def load_trained(model, folder, which=None):
    """Loads what a run has learnt, the averaged weights if there are any.

    Args:
        model: as `training.tasks.task.Task.build_model` made it.
        folder: the run's folder; a process may train in it.
        which: "best", of the epoch that was best on the held-out data; "last", of the last step
            that was saved; by default the best, if an epoch has ended.

    Returns:
        Which it was.

    Raises:
        ValueError: there is no checkpoint, or it is of another model.

    Example:

    >>> load_trained(model, "runs/quickstart")
    'best'
    """
    which = which or default_checkpoint(folder)
    path = checkpoint_path(folder, which)
    if which == "best":
        load_keras_file(model, path)
        return which
    checkpoint.restore(path, {"model": model.variables})
    if checkpoint.count(path, "average"):
        average = make_average(model)
        checkpoint.restore(path, {"average": average})
        for variable, mean in zip(model.trainable_variables, average, strict=True):
            variable.assign(mean)
    return which


def default_checkpoint(folder):
    """Which checkpoint stands for a run: "best", or "last" where no epoch has ended."""
    return "best" if Path(folder, BEST).exists() else "last"


def checkpoint_path(folder, which):
    """The file of a checkpoint.

    Raises:
        ValueError: it does not exist.
    """
    path = Path(folder, BEST if which == "best" else LAST)
    if not path.exists():
        until = "come to an evaluation" if which == "best" else "saved a checkpoint"
        raise ValueError(f"{path} does not exist; the run has not {until} yet.")
    return path


def about(folder, which, evaluator):
    """Which epoch a checkpoint is of, and its metrics.

    Args:
        folder: the run's folder.
        which: "best" or "last".
        evaluator: of the run's task.

    Returns:
        `(words, metrics)`: such as "best checkpoint, epoch 3 of 5 so far", and a dict of the
        metrics on the held-out data, empty where it has not been evaluated.

    Raises:
        ValueError: the checkpoint is missing or damaged.
    """
    if not Path(folder, LAST).exists():  # a kill came between the two files
        return f"{which} checkpoint", {}
    step, sums, history = _position(Path(folder, LAST))
    if which == "best" and history:
        if not all(f"val_{evaluator.monitor}" in row for row in history):
            raise ValueError(f"{Path(folder, LAST)} is damaged: an epoch lacks its metrics.")
        best = best_epoch(history, evaluator)
        words = f"best checkpoint, epoch {best + 1} of {len(history)} so far"
        return words, held_out_metrics(history[best])
    if history and not sums:
        return f"last checkpoint, epoch {len(history)}", held_out_metrics(history[-1])
    return f"last checkpoint, step {step:,}", {}


def read_history(folder):
    """The values of each epoch of a run so far, a list of dicts; empty before the first.

    Raises:
        ValueError: the checkpoint is missing or damaged.
    """
    return _position(Path(folder, LAST))[2]


def _position(path):
    """Step, sums and history of a checkpoint."""
    found = checkpoint.read_position(path)
    found = found if isinstance(found, dict) else {}
    step, sums, history = (found.get(key) for key in ("step", "sums", "history"))
    rows = history if isinstance(history, list) else [None]
    if type(step) is not int or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} is damaged: how far its training has come makes no sense.")
    return step, sums, history


def held_out_metrics(row):
    """The metrics on the held-out data among the values of an epoch."""
    return {k.removeprefix("val_"): v for k, v in row.items() if k.startswith("val_")}


def draw_history(history, monitor, folder):
    """Draws the curves of the loss and of a metric, `learning_curve.png`.

    Args:
        history: a list of dicts, at least one epoch.
        monitor: name of the metric.
        folder: where the plot goes.
    """
    names = [key for key in history[-1] if key != "epoch"]
    curves = {name: [row.get(name, float("nan")) for row in history] for name in names}
    visualize.plot_learning_curve(curves, Path(folder, "learning_curve.png"), metric=monitor)


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
