"""Predictions past one machine: the rows of `training.prediction.folder` by Apache Beam.

Needs the extra `[beam]`. Usage, from a clone; words it does not know go to Beam, whose runners and
file systems are all open to it, though only the local runner has been tried:

    python -m training.prediction.beam --model serving/regionvit/1 --folder photos --output rows

It writes the rows of `training.predict --folder --csv` into files `rows-00000-of-00001.csv`, in any
order. A run that was stopped begins again: keeping what is done is the runner's part. Workers need
this clone, which is not in the wheel, and the model at a path that they can read. Names must be
UTF-8, as Beam's own coders want it; `training.prediction.folder` takes any. The transforms, for
pipelines of your own, are in `training.prediction.transforms`.
"""

import argparse
import sys

from training.console import line_by_line, quiet_import


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options, others = _parser().parse_known_args(arguments)
    try:
        run(options.model, options.folder, options.output, others)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(model, folder, output, options=None):
    """Writes the rows of all images under a folder, see `training.prediction.transforms.run`.

    Raises:
        ValueError: Beam is not installed, or what that function refuses.

    Example:

    >>> run("serving/regionvit/1", "photos", "rows", ["--direct_num_workers=4"])
    """
    with quiet_import():
        from training.prediction import transforms
    transforms.run(model, folder, output, options)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m training.prediction.beam",
        description="Predictions for all images under a folder, on any runner of Apache Beam.",
        epilog="Other words go to Beam, such as --runner and --direct_num_workers.",
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help="a SavedModel, the folder of a run or a .keras file",
    )
    parser.add_argument(
        "--folder", required=True, help="where the images are: a path or an address"
    )
    parser.add_argument(
        "--output", required=True, metavar="PREFIX", help="what the CSV files' names begin with"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
