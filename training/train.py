"""Trains a recipe.

Usage, from a clone:

    python -m training.train --recipe quickstart
"""

import argparse
import itertools
import sys
from pathlib import Path

from training import recipes
from training.quiet import line_by_line, quiet_import

FIRST_RUNS = Path("runs")


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options = _parser().parse_args(arguments)
    try:
        recipes.check(options.recipe)
        folder = make_run_folder(options.output, options.recipe)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Recipe {options.recipe}, seed {options.seed}; the run is kept in {folder}")
    try:
        with quiet_import():
            recipe = recipes.load(options.recipe)
        recipe.run(folder, seed=options.seed, smoke=options.smoke)
    except KeyboardInterrupt:
        print(f"stopped; what there is lies in {folder}", file=sys.stderr)
        return 130
    return 0


def make_run_folder(output, recipe):
    """Makes an empty folder for a run; no earlier run is ever touched.

    Args:
        output: the folder, new or empty; or `None` for `runs/RECIPE`, or the first of
            `runs/RECIPE-2`, `runs/RECIPE-3` ... that does not exist.
        recipe: the recipe's name.

    Returns:
        Its `Path`.

    Raises:
        ValueError: `output` holds something, or cannot be made.

    Example:

    >>> make_run_folder(None, "quickstart")
    PosixPath('runs/quickstart')
    """
    numbered = (FIRST_RUNS / f"{recipe}-{i}" for i in itertools.count(2))
    for folder in [output] if output else itertools.chain([FIRST_RUNS / recipe], numbered):
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=output is not None)
            if not any(folder.iterdir()):
                return folder
        except FileExistsError:
            if output:
                raise ValueError(f"--output {folder} is a file; name a new folder") from None
        except OSError as error:
            raise ValueError(f"--output {folder} cannot be made: {error.strerror}") from None
    raise ValueError(f"--output {output} already holds files; name a new folder or remove it")


def _parser():
    listed = "".join(f"\n  {name:12} {recipes.summary(name)}" for name in recipes.names())
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        description="Trains a model by a recipe, evaluates and exports it.",
        epilog=f"recipes:{listed}\n\nThe head of training/recipes/NAME.py says what a recipe "
        "costs and what to expect of it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", required=True, metavar="NAME", help="what to train, see below")
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="where to keep the run, a new or empty folder; a folder that holds files is refused. "
        "Default: runs/NAME, or runs/NAME-2, -3 ... if earlier runs are there",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        default=0,
        metavar="N",
        help="first weights, order and augmentation follow from it; the same seed on the same "
        "machine gives the same model (default: 0)",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="a run of seconds that goes through every step of the recipe; the model is useless",
    )
    return parser


def _seed(text):
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 0 to {2**31 - 1}, not {text!r}"
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
