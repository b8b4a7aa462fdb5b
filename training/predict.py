"""Predictions of a model, for image files and folders, as evaluation has them.

Usage, from a clone:

    python -m training.predict --model runs/quickstart shirt.png boot.jpg
    python -m training.predict --model runs/quickstart 'photos/*.jpg'
    python -m training.predict --model serving/regionvit/1 --folder photos --csv rows.csv
"""

import argparse
import sys

from training.console import line_by_line, quiet_import


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options = _parser().parse_args(arguments)
    try:
        if options.folder or options.csv:
            return _write_rows(options)
        results = run(
            options.model, options.images, options.samples, options.invert, options.checkpoint
        )
        if options.json:
            _write_json(options.json, results)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = "; the same command goes on" if options.folder else ""
        print(f"interrupted{again}", file=sys.stderr)
        return 130
    print_predictions([result for result in results if result["valid"]])
    unreadable = [result["error"] for result in results if not result["valid"]]
    for sentence in unreadable:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if unreadable else 0


def run(model, images=(), samples=0, invert=False, checkpoint=None):
    """Predictions for a few images.

    Args:
        model: a SavedModel's folder, a `.keras` file or the folder of a run.
        images: image files, folders, and patterns such as `photos/*.jpg`.
        samples: how many of the held-out images of Fashion-MNIST to add.
        invert: whether to take the negative of the image files.
        checkpoint: of a run, "best" or "last"; by default what it has exported or, where it has
            not come so far, the best.

    Returns:
        A list with a dict for each image: `image` (its name), `valid`, and `prediction` and
        `probabilities` (a dict by class), or `error` where it cannot be read; for held-out ones
        also `index` and `label`.

    Raises:
        ValueError: there is nothing to predict, the model cannot be read, or the held-out images
            do not fit the model.

    Example:

    >>> run("runs/quickstart", ["shirt.png"])[0]["prediction"]
    'Shirt'
    """
    with quiet_import():
        from training.prediction.few import predict
    return predict(model, images, samples, invert, checkpoint)


def print_predictions(results):
    """Prints a line for each result of `run`: its best three classes."""
    width = max((len(result["image"]) for result in results), default=0)
    for result in results:
        best = sorted(result["probabilities"].items(), key=lambda item: -item[1])[:3]
        line = f"{result['image']:<{width}}  " + ", ".join(f"{n} {p:.1%}" for n, p in best)
        if "label" in result:
            right = result["label"] == result["prediction"]
            line += "  (right)" if right else f"  (wrong: {result['label']})"
        print(line)


def _write_rows(options):
    if not (options.folder and options.csv):
        raise ValueError("--folder and --csv go together: the images, and where rows go")
    if options.images or options.samples or options.invert or options.json:
        raise ValueError("--folder goes with --model, --checkpoint and --csv alone")
    with quiet_import():
        from keras_regionvit.files import WriteError
        from training.prediction import folder
    try:
        count, bad = folder.run(
            options.model, options.folder, options.csv, checkpoint=options.checkpoint
        )
    except WriteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: --csv {options.csv} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{options.csv} has {count:,} rows, {bad:,} of them of files that cannot be read")
    return 0


def _write_json(path, results):
    from keras_regionvit.files import WriteError, write_json

    try:
        write_json(path, results)
    except WriteError as error:
        raise ValueError(f"--json {error}") from None


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m training.predict",
        description="Says what a model sees in images: the three likeliest classes.",
        epilog="Images are JPEG, PNG, GIF, BMP, WebP, TIFF or AVIF. They are resized and cropped "
        "as the model's evaluation does it. The exit status is 1 if an image cannot be read; the "
        "others are predicted all the same.",
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help="the folder of a run, such as runs/mine; a SavedModel; or a .keras file",
    )
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        help="of a run, whether it has ended or not: of the epoch that was best on the held-out "
        "images, or of the last step that was saved (default: what the run has exported, or else "
        "the best there is)",
    )
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="image files, folders, and quoted patterns such as 'photos/*.jpg'",
    )
    parser.add_argument(
        "--samples",
        type=_count,
        default=0,
        metavar="N",
        help=argparse.SUPPRESS,  # the quick start's: held-out images of Fashion-MNIST, judged
    )
    parser.add_argument(
        "--invert",
        action="store_true",
        help=argparse.SUPPRESS,  # its clothes are light on black: takes the files' negatives
    )
    parser.add_argument(
        "--folder",
        metavar="FOLDER",
        help="write a row for each image under FOLDER, of any number; run again, it goes on where "
        "it was stopped",
    )
    parser.add_argument("--csv", metavar="FILE", help="where the rows of --folder go")
    parser.add_argument(
        "--json", metavar="FILE", help="also write all probabilities to FILE, as JSON"
    )
    return parser


def _count(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 0, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
