"""Evaluates a run on its held-out images, or on others.

Usage, from a clone:

    python -m training.evaluate --run runs/quickstart
"""

import argparse
import sys

from training.console import line_by_line, quiet_import


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options = parser().parse_args(arguments)
    try:
        _main(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _main(options):
    with quiet_import():
        import tensorflow as tf

        from keras_regionvit.files import WriteError, write_json
        from training.data.corrupt_images import said
        from training.runs.evaluation import evaluate_run
    try:
        words, metrics = evaluate_run(options)
        print(f"{options.run}, {words}")
        for name, value in metrics.items():
            print(f"{name:15} {value:,}" if isinstance(value, int) else f"{name:15} {value:.4f}")
        if options.json:
            write_json(options.json, {**metrics, "checkpoint": words})
    except WriteError as error:
        raise ValueError(str(error)) from None
    except tf.errors.OpError as error:  # an image that cannot be read, among others
        raise ValueError(said(error)) from None


def parser():
    """The options of the command."""
    made = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Evaluates a run, ended or not: top-1 and top-5 accuracy, or the area under "
        "the ROC curve (auc) for images with several labels.",
    )
    made.add_argument("--run", required=True, metavar="FOLDER", help="the run's folder")
    made.add_argument(
        "--data",
        metavar="PATH",
        help="other images than the run's, as --data of training.train; such as tfds:imagenet_v2 "
        "or tfds:imagenet2012_real (any of an image's labels is right, images without are left "
        "out)",
    )
    made.add_argument(
        "--split",
        metavar="NAME",
        help="part of the data (default: the recipe's); 'all' for a folder or list that is not "
        "divided, of which a tenth is judged else",
    )
    made.add_argument(
        "--checkpoint",
        "--weights",
        choices=("best", "last"),
        help="of the epoch with the best metric on the held-out images (default), or of the last "
        "step",
    )
    made.add_argument("--batch-size", type=int, metavar="N", help="images at a time")
    made.add_argument("--precision", choices=("float32", "bfloat16", "float16"))
    made.add_argument(
        "--skip-corrupt", action="store_true", help="leave out images that cannot be read"
    )
    made.add_argument("--json", metavar="FILE", help="also write the metrics to FILE")
    made.add_argument(
        "--plots",
        metavar="FOLDER",
        help="also draw into FOLDER: learning curves, confusion matrix, some images; and a table "
        "of the classes",
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
