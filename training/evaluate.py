"""Evaluates a trained run on its held-out images, or on others.

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
    from keras_regionvit.files import WriteError, write_json

    try:
        with quiet_import():
            from training.runs.evaluation import evaluate_run
        metrics = evaluate_run(options)
        for name, value in metrics.items():
            print(f"{name:15} {value:,}" if isinstance(value, int) else f"{name:15} {value:.4f}")
        if options.json:
            write_json(options.json, metrics)
    except (ValueError, WriteError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parser():
    """The options of the command."""
    made = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Evaluates a trained run: top-1 and top-5 accuracy, or the area under the ROC "
        "curve (auc) for images with several labels.",
    )
    made.add_argument("--run", required=True, metavar="FOLDER", help="the run's folder")
    made.add_argument(
        "--data",
        metavar="PATH",
        help="other images than the run's, as --data of training.train; such as tfds:imagenet_v2 "
        "or tfds:imagenet2012_real (any of an image's labels is right, images without are left "
        "out)",
    )
    made.add_argument("--split", metavar="NAME", help="part of the data (default: the recipe's)")
    made.add_argument(
        "--weights",
        choices=("last", "best"),
        default="last",
        help="of the last step, or of the epoch with the best metric (default: last)",
    )
    made.add_argument("--batch-size", type=int, metavar="N", help="images at a time")
    made.add_argument("--precision", choices=("float32", "bfloat16", "float16"))
    made.add_argument(
        "--skip-corrupt", action="store_true", help="leave out images that cannot be read"
    )
    made.add_argument("--json", metavar="FILE", help="also write the metrics to FILE")
    return made


if __name__ == "__main__":
    sys.exit(main())
