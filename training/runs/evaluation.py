"""The metrics of a run's weights, on its held-out data or on others."""

from pathlib import Path

import tensorflow as tf

from training.data.inputs import eval_batches
from training.data.sources import split_spec
from training.engine import checkpoint
from training.engine.loop import BEST, LAST
from training.engine.state import make_average
from training.engine.steps import evaluate, evaluation_step
from training.runs.folder import read_record
from training.tasks import open_task


def evaluate_run(options):
    """The metrics of a run's weights.

    Args:
        options: the parsed options of `training.evaluate`.

    Returns:
        A dict: how many examples counted, by what they are called; then the metrics.

    Raises:
        ValueError: weights or data are missing or do not fit.
    """
    record, recipe = read_record(options.run)
    source, data = split_spec(options.data)
    overrides = {"compute.precision": options.precision or recipe.compute.precision}
    if source is not None:
        overrides["data.source"] = source
    task = open_task(recipe.with_overrides(overrides))
    opened = task.open_others(options.split or recipe.data.eval_split, data or record["data"])
    model = task.build_model(opened.info)
    load_trained(model, Path(options.run), options.weights)
    evaluator = task.evaluator(opened.info)
    step = evaluation_step(tf.distribute.get_strategy(), model, evaluator)
    batches = eval_batches(
        task, opened, batch_size=options.batch_size, skip_corrupt=options.skip_corrupt
    )
    metrics = evaluate(step, evaluator, batches)
    return {task.unit: evaluator.count, **metrics}


def load_trained(model, folder, which="last"):
    """Loads what a run has learnt.

    Args:
        model: as `training.tasks.task.Task.build_model` made it.
        folder: the run's folder.
        which: "last", the averaged weights if there are any; or "best", by the held-out data.

    Raises:
        ValueError: there is no checkpoint, or it is of another model.

    Example:

    >>> load_trained(model, "runs/quickstart", "best")
    """
    folder = Path(folder)
    if which == "best":
        path = folder / BEST
        if not path.exists():
            raise ValueError(f"{path} does not exist; the run has not come to an evaluation yet.")
        try:
            model.load_weights(path)
        except (OSError, KeyError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"{path} does not hold this model's weights: {reason}") from None
        return
    checkpoint.restore(folder / LAST, {"model": model.variables})
    if checkpoint.count(folder / LAST, "average"):
        average = make_average(model)
        checkpoint.restore(folder / LAST, {"average": average})
        for variable, mean in zip(model.trainable_variables, average, strict=True):
            variable.assign(mean)
