"""Predictions of a model, for image files and folders: classes, boxes or masks.

Usage, from a clone:

    python -m training.predict --model runs/quickstart shirt.png boot.jpg
    python -m training.predict --model runs/quickstart 'photos/*.jpg'
    python -m training.predict --model serving/regionvit/1 --folder photos --csv rows.csv
    python -m training.predict --model runs/detector --folder photos --json found.json --draw drawn
    python -m training.predict --model runs/segmenter 'photos/*.jpg' --masks masks
"""

import argparse
import sys

from training.console import line_by_line, quiet_import


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options = _parser().parse_args(arguments)
    try:
        with quiet_import():
            from training.prediction.kinds import task_of
        task = task_of(options.model, options.checkpoint)
        if task != "classification":
            return _dense(task, options)
        _check_options(options)
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
        again = "; the same command goes on" if options.csv else ""
        print(f"interrupted{again}", file=sys.stderr)
        return 130
    print_predictions([result for result in results if result["valid"]])
    return _said([result["error"] for result in results if not result["valid"]])


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


def _said(unreadable):
    """Names the images that cannot be read; the exit status."""
    for sentence in unreadable:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if unreadable else 0


def _dense(task, options):
    """The command for a detector or a segmenter."""
    with quiet_import():
        from keras_regionvit.files import WriteError
        from training.prediction import dense_files
    try:
        return _said(dense_files.run(task, options))
    except WriteError as error:
        raise ValueError(str(error)) from None


def _check_options(options):
    """Refuses options of detectors and segmenters for a classifier."""
    for option in ("draw", "masks", "annotations"):
        if getattr(options, option):
            raise ValueError(
                f"--{option} is for detectors and segmenters, and --model {options.model} is none."
            )


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
        description="Says what a model sees in images: the three likeliest classes; or the best "
        "detections, with the box x1 y1 x2 y2 in pixels; or the classes of pixels, with the share "
        "of the image that each covers.",
        epilog="Images are JPEG, PNG, GIF, BMP, WebP, TIFF or AVIF. They are resized and cropped "
        "as the model's evaluation does it. Detections of --json are COCO results, whose image_id "
        "is the number that a file's name is, or else the name; see --annotations. The exit status "
        "is 1 if an image cannot be read; the others are predicted all the same.",
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
        help="predict all images under FOLDER, of any number; with --csv for classes, where the "
        "same command goes on after a stop; with --json, --draw or --masks for boxes and masks",
    )
    _add_outputs(parser.add_argument)
    return parser


def _add_outputs(add):
    """Adds the options that say what is written."""
    add("--csv", metavar="FILE", help="where the rows of --folder go")
    add(
        "--json",
        metavar="FILE",
        help="also write all probabilities to FILE, as JSON; of a detector all detections as COCO "
        "results, with the file's name; of a segmenter the shares of the classes",
    )
    add(
        "--annotations",
        metavar="FILE",
        help="of a detector: a COCO file that gives image_id by file names and category_id by "
        "names (default: the data set's own numbers of classes)",
    )
    add(
        "--draw",
        metavar="FOLDER",
        help="of a detector or segmenter: also write the photos with boxes, or under the colours "
        "of classes, to FOLDER, as PNG",
    )
    add(
        "--masks",
        metavar="FOLDER",
        help="of a segmenter: also write a PNG for each photo, in its size, whose values are "
        "classes, shown by a palette",
    )


def _count(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 0, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
