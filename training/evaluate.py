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
        words, metrics, table = evaluate_run(options)
        print(f"{options.run}, {words}")
        for name, value in metrics.items():
            print(f"{name:15} {value:,}" if isinstance(value, int) else f"{name:15} {value:.4f}")
        _print_table(table)
        if options.json:
            # JSON has no NaN
            rows = [{k: None if v != v else v for k, v in row.items()} for row in table]
            by_class = {"classes": rows} if table else {}
            write_json(options.json, {**metrics, "checkpoint": words, **by_class})
    except WriteError as error:
        raise ValueError(str(error)) from None
    except tf.errors.OpError as error:  # an image that cannot be read, among others
        raise ValueError(said(error)) from None


def _print_table(rows):
    """A line for each class, under the names of the columns."""
    if not rows:
        return
    names = [" ".join(str(row["name"]).split())[:32] for row in rows]
    width = max(map(len, ["class", *names]))
    print(f"{'class':{width}}", *(f"{key:>10}" for key in rows[0] if key != "name"))
    for name, row in zip(names, rows, strict=True):
        values = [value for key, value in row.items() if key != "name"]
        cells = (f"{x:>10,}" if isinstance(x, int) else f"{x:>10.4f}" for x in values)
        print(f"{name:{width}}", *cells)


def parser():
    """The options of the command."""
    made = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Evaluates a run, ended or not. Classification: top-1 and top-5 accuracy, or "
        "the area under the ROC curve (auc) for images with several labels. Detection: the twelve "
        "metrics of COCO, and AP by class. Segmentation: mean IoU, pixel and mean accuracy in the "
        "photos' own sizes, and IoU by class.",
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
        help="also draw into FOLDER: learning curves, confusion matrix, some images, with boxes "
        "or masks where the run has such; and a table of the classes",
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
