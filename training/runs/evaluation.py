"""The metrics of a run's weights, on its held-out data or on others."""

from pathlib import Path

import tensorflow as tf

from keras_regionvit.files import WriteError
from training.data.inputs import eval_batches
from training.data.sources import split_spec
from training.engine.steps import evaluate, evaluation_step
from training.evaluators.evaluator import write_table
from training.runs.folder import read_record
from training.runs.trained import about, draw_history, load_trained, read_history, read_info
from training.tasks import open_task


def evaluate_run(options):
    """The metrics of a run's weights; the run may have ended, have been stopped or go on.

    Args:
        options: the parsed options of `training.evaluate`.

    Returns:
        `(words, metrics, table)`: which checkpoint it is; a dict: how many examples counted, by
        what they are called, then the metrics; and the rows of `Evaluator.table`.

    Raises:
        ValueError: weights or data are missing or do not fit.
        WriteError: a plot cannot be written.
    """
    record, recipe = read_record(options.run)
    source, data = split_spec(options.data)
    overrides = {"compute.precision": options.precision or recipe.compute.precision}
    if source is not None:
        overrides["data.source"] = source
    task = open_task(recipe.with_overrides(overrides))
    split, data = options.split or recipe.data.eval_split, data or record["data"]
    opened = task.open_others(split, data, read_info(options.run))
    model = task.build_model(opened.info)
    which = load_trained(model, options.run, options.checkpoint)
    judge = task.for_evaluation()
    evaluator = judge.evaluator(opened.info)
    words, _ = about(options.run, which, evaluator)
    step = evaluation_step(tf.distribute.get_strategy(), model, evaluator)
    reading = {"batch_size": options.batch_size, "skip_corrupt": options.skip_corrupt}
    metrics = evaluate(step, evaluator, eval_batches(judge, opened, **reading))
    if options.plots:
        _draw(task, model, opened, options, evaluator, reading)
    return words, {task.unit: evaluator.count, **metrics}, evaluator.table()


def _draw(task, model, opened, options, evaluator, reading):
    """The curves of the run so far, and what the model makes of the data."""
    folder = Path(options.plots)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"--plots {folder} cannot be made: {error.strerror}.") from error
    history = read_history(options.run)
    if history:
        draw_history(history, evaluator.monitor, folder)
    task.draw(model, opened, folder, **reading)
    write_table(evaluator, folder)
