"""Evaluates a trained run on its held-out images, or on others.

Usage, from a clone:

    python -m training.evaluate --run runs/quickstart
"""

import argparse
import json
import sys
from pathlib import Path

from training.console import line_by_line, quiet_import
from training.train import split_data


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options = _parser().parse_args(arguments)
    try:
        with quiet_import():
            from training.runs.folder import read_record
        record, recipe = read_record(options.run)
        figures = run(record, recipe, options)
        for name, value in figures.items():
            print(f"{name:15} {value:,}" if name == "images" else f"{name:15} {value:.4f}")
        if options.json:
            Path(options.json).write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: --json {options.json} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def run(record, recipe, options):
    """The figures of a run's weights on images.

    Args:
        record: the dict of `run.json`.
        recipe: the run's `Recipe`.
        options: the parsed options.

    Returns:
        A dict of figures, see `training.evaluators.classification.evaluate`.

    Raises:
        ValueError: weights or images are missing or do not fit.
    """
    with quiet_import():
        import tensorflow as tf

        from training.data.inputs import eval_batches, open_split
        from training.engine.steps import evaluation_step, image_losses
        from training.evaluators.classification import evaluate
        from training.tasks.classification import build_model
    overrides, data = split_data(options.data)
    recipe = recipe.with_overrides({**overrides, "precision": options.precision or
                                    recipe.precision})  # fmt: skip
    source = open_split(
        recipe, options.split or recipe.eval_split, data or record["data"], any_label=True
    )
    model = build_model(recipe, len(source.class_names))
    load_trained(model, Path(options.run), options.weights)
    strategy = tf.distribute.get_strategy()
    step = evaluation_step(
        strategy, model, image_losses(recipe.multi_label), multi_label=recipe.multi_label
    )
    batches = eval_batches(
        recipe, source, batch_size=options.batch_size, skip_corrupt=options.skip_corrupt
    )
    return evaluate(step, batches, multi_label=recipe.multi_label)


def load_trained(model, folder, which="last"):
    """Loads what a run has learnt.

    Args:
        model: as `training.tasks.classification.build_model` made it.
        folder: the run's folder.
        which: "last", the averaged weights if there are any; or "best", by the held-out images.

    Raises:
        ValueError: there is no checkpoint, or it is of another model.

    Example:

    >>> load_trained(model, "runs/quickstart", "best")
    """
    from training.engine import checkpoint
    from training.engine.loop import BEST, LAST, averages

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
        average = averages(model)
        checkpoint.restore(folder / LAST, {"average": average})
        for variable, mean in zip(model.trainable_variables, average, strict=True):
            variable.assign(mean)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Evaluates a trained run: top-1 and top-5 accuracy, or the area under the ROC "
        "curve (auc) for images with several labels.",
    )
    parser.add_argument("--run", required=True, metavar="FOLDER", help="the run's folder")
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="other images than the run's, as --data of training.train; such as tfds:imagenet_v2 "
        "or tfds:imagenet2012_real (any of an image's labels is right, images without are left "
        "out)",
    )
    parser.add_argument("--split", metavar="NAME", help="part of the data (default: the recipe's)")
    parser.add_argument(
        "--weights",
        choices=("last", "best"),
        default="last",
        help="of the last step, or of the epoch with the best figure (default: last)",
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="images at a time")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"))
    parser.add_argument(
        "--skip-corrupt", action="store_true", help="leave out images that cannot be read"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
