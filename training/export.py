"""Makes a SavedModel that production can serve of a trained model.

Usage, from a clone:

    python -m training.export --model runs/quickstart --output serving/quickstart/1
"""

import argparse
import signal
import sys
from pathlib import Path

from training.console import line_by_line, quiet_import


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options = _parser().parse_args(arguments)
    stopped = []

    def stop(*_):  # as an error would, so that what is half-written is removed
        stopped.append(128 + signal.SIGTERM)
        # Once more soon: conversions of NumPy and callbacks of the collector swallow errors.
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        if not isinstance(sys.exc_info()[1], SystemExit):  # else it is being removed
            sys.exit(stopped[0])

    before = [(number, signal.signal(number, stop)) for number in (signal.SIGTERM, signal.SIGALRM)]
    try:
        check_output(options.output)
        folder = run(options)
    except BaseException as error:
        if stopped:  # of which TensorFlow may have made another error
            return stopped[0]
        if not isinstance(error, OSError | ValueError):
            raise
        unwritten = f"--output {options.output} cannot be written: "
        print(f"error: {unwritten * isinstance(error, OSError)}{error}", file=sys.stderr)
        return 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}  {size / 2**20:.1f} MiB")
    return 0


def run(options):
    """Exports what the parsed options say; returns the folder, a `Path`.

    Raises:
        ValueError: the model, its labels or an option do not fit.
        OSError: the folder cannot be written.
    """
    with quiet_import():
        from training.prediction.exporting import export
    return export(**vars(options))


def check_output(output):
    """Checks that `output` is a version folder that does not exist yet.

    Raises:
        ValueError: it is not.

    Example:

    >>> check_output("serving/regionvit/1")
    """
    path = Path(output)
    if not path.name.isdecimal() or int(path.name) < 1:
        raise ValueError(
            f"--output {output} must end in a version number, such as {path / '1'}; TensorFlow "
            "Serving takes the highest."
        )
    if path.exists():
        raise ValueError(f"--output {output} exists; a version is never overwritten.")


def numbers(text):
    """The floats of a text such as "120,115,100", a tuple; otherwise a `ValueError`."""
    return tuple(float(part) for part in text.split(","))


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m training.export",
        description="Makes a SavedModel for TensorFlow Serving: encoded images to the best "
        "classes, to boxes or to a mask, with the preprocessing inside.",
        epilog="Detectors and segmenters take --model, --output, --checkpoint, --labels, "
        "--image-size and --max-pixels.",
    )
    add = parser.add_argument
    add("--model", required=True, metavar="MODEL", help="a .keras file, the folder of a run, or a "
        "variant such as small")  # fmt: skip
    add("--output", required=True, metavar="FOLDER/VERSION", help="such as serving/regionvit/1")
    add(
        "--checkpoint",
        choices=("best", "last"),
        help="of a run, whether it has ended or not: of "
        "the epoch that was best on the held-out images, or of the last step that was saved "
        "(default: what the run has exported, which is the best, or else the best there is)",
    )
    add("--labels", metavar="FILE", help="names of the classes, one a line")
    add("--weights", default="imagenet", help="of a variant: imagenet (default), none, or a file")
    add("--image-size", type=int, metavar="PIXELS", help="of a variant, or of a model for any size "
        "(default: 224)")  # fmt: skip
    add("--crop-ratio", type=float, metavar="SHARE", help="share of the shorter side that is kept "
        "(default: the recipe's, or 0.875)")  # fmt: skip
    add("--max-pixels", type=int, metavar="N", help="larger images are not decoded (default: "
        "89478485)")  # fmt: skip
    add("--mean", type=numbers, metavar="NUMBERS", help="of each channel on 0..255, such as 127.5 "
        "or 120,115,100; where the model does not normalise (default: ImageNet's)")  # fmt: skip
    add("--std", type=numbers, metavar="NUMBERS", help="likewise")
    add("--top-k", type=int, default=5, metavar="K", help="classes (default: 5)")
    add("--features", action="store_true", help="also give embedding and pyramid")
    add("--precision", choices=("float32", "bfloat16"), help="inside the model")
    add("--any-size", action="store_true", help="tensors of any height and width")
    add("--tensors", action="store_true", help="pixels on 0..255 -> probabilities alone, for "
        "OpenVINO, LiteRT, ONNX and own resizing")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
