"""Trains a recipe.

Usage, from a clone:

    python -m training.train --recipe quickstart
"""

import argparse
import signal
import sys
from pathlib import Path

from training.console import line_by_line, quiet_import
from training.distribute import options as devices
from training.recipes import catalogue as recipes

TRY_AGAIN = 75  # exit status where a worker was lost, as of sysexits.h
SPECS = ("tfds:", "folder:", "csv:", "tfrecord:")  # what --data may begin with


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options = _parser().parse_args(arguments)
    try:
        return _main(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was saved before is intact", file=sys.stderr)
        return 130


def _main(options):
    if options.recipe:
        recipes.check(options.recipe)
    elif options.resume is None:
        raise ValueError("--recipe NAME is missing; --help lists the recipes")
    with quiet_import():
        from training.runs import folder as run_folder
    cluster = devices.cluster(options)
    plan = plan_run(options, run_folder, chief=cluster.index == 0)
    if options.dry_run:
        with quiet_import():
            from training.runs.dry_run import describe
        print(describe(plan["recipe"], plan["data"], plan["seed"]))
        return 0
    with quiet_import():
        import tensorflow as tf

        from training.distribute.collectives import LostWorker, from_chief, together
        from training.distribute.strategy import check_fits
        from training.distribute.strategy import describe as describe_devices
        from training.engine.checkpoint import WriteError
        from training.engine.loop import NotFinite
        from training.engine.signals import Stopped, StopRequest
        from training.runs.report import versions
        from training.runs.run import print_report, run
    folder, recipe, chief = plan["folder"], plan["recipe"], cluster.index == 0
    if plan["record"] is not None and (folder / run_folder.REPORT).exists():
        print(f"{folder} is complete; {run_folder.REPORT} has its figures.")
        return 0
    strategy = devices.open_devices(options, cluster, facts(options, plan, versions()))
    check_fits(strategy, recipe, options.jit)
    folder = folder or Path(options.output or options.resume or run_folder.FIRST_RUNS / recipe.name)
    try:
        with StopRequest() as stop, together(strategy):
            begun = from_chief(
                strategy, lambda: _begin(options, plan, run_folder, versions()),
                ValueError, WriteError,
            )  # fmt: skip
            folder = Path(begun)
            print(f"Recipe {recipe.name}, seed {plan['seed']}; the run is kept in {folder}")
            if strategy.num_replicas_in_sync > 1:
                print(f"on {describe_devices(strategy)}")
            report = run(
                recipe, folder, seed=plan["seed"], smoke=plan["smoke"], data_path=plan["data"],
                skip_corrupt=options.skip_corrupt, save_every=options.save_every,
                jit_compile=options.jit, stop=stop, strategy=strategy,
            )  # fmt: skip
        if chief:
            print_report(report, folder)
    except Stopped as error:
        again = _how_to_go_on(folder, cluster)
        print(f"{error}; the state is saved, {again}", file=sys.stderr)
        return 128 + signal.Signals[stop.requested or "SIGTERM"]
    except LostWorker as error:
        print(
            f"error: {error} The last checkpoint is intact; {_how_to_go_on(folder, cluster)}\n"
            f"TensorFlow's words: {_first_line(error.__cause__)}",
            file=sys.stderr,
        )
        return TRY_AGAIN
    except (WriteError, NotFinite) as error:
        again = _how_to_go_on(folder, cluster)
        print(f"error: {error} {again[0].upper()}{again[1:]}", file=sys.stderr)
        return 1
    except tf.errors.OpError as error:
        print(f"error: {_first_line(error)}", file=sys.stderr)
        return 1
    return 0


def _begin(options, plan, run_folder, versions):
    """Makes the folder of a new run, with its record; gives the folder's name. For the chief."""
    folder = plan["folder"]
    if folder is None:
        folder = run_folder.new_folder(options.output, plan["recipe"].name)
    if plan["record"] is None:
        run_folder.write_record(
            folder, plan["recipe"], plan["seed"], plan["smoke"], plan["data"], versions
        )
    elif plan["record"]["versions"] != versions:
        print(f"note: other versions than the run began with, see {folder}/run.json")
    return str(folder)


def _how_to_go_on(folder, cluster):
    if len(cluster.workers) > 1:  # a single one of them would train by itself
        return f"start all workers again, with --resume {folder}"
    return f"go on with: python -m training.train --resume {folder}"


def _first_line(error):
    """The first line of a TensorFlow error, with its kind where it says nothing."""
    text = getattr(error, "message", None) or str(error)
    return next((line for line in text.splitlines() if line.strip()), type(error).__name__)


def facts(options, plan, versions):
    """What all workers of a training must agree on, plain data."""
    return {
        "recipe": plan["recipe"].to_dict(),
        "versions": {k: v for k, v in versions.items() if k in ("keras", "tensorflow", "numpy")},
        **{key: plan[key] for key in ("seed", "smoke")},
        "--skip-corrupt": options.skip_corrupt,
        "--save-every": options.save_every,
        "--jit": options.jit,
    }


def plan_run(options, run_folder, chief=True):
    """What to do, from the options and, for a run that goes on, its record.

    Args:
        options: the parsed options.
        run_folder: the module `training.runs.folder`.
        chief: whether this process keeps the run's folder; others may not see it.

    Returns:
        A dict of `recipe`, `seed`, `smoke`, `data`, `folder` and `record`, the last two `None`
        for a new run.

    Raises:
        ValueError: options are wrong, or differ from those the run began with.
    """
    named = options.resume or options.output
    seen = named and Path(named, run_folder.RECORD).exists()
    if not chief and not seen and options.recipe:  # the chief's record is as good as one's own
        folder = record = began = None
    else:
        folder, record, began = _folder_to_resume(options, run_folder)
    overrides = dict(options.set)
    if options.precision:
        overrides["precision"] = options.precision
    if options.deterministic:
        overrides["deterministic"] = "true"
    if options.weights:
        overrides["weights"] = options.weights
    changed, data = split_data(options.data)
    overrides |= changed
    smoke = options.smoke
    if record is not None:
        smoke = record["smoke"]
        data = data or record["data"]
        if options.smoke and not smoke:
            raise ValueError(f"--resume {folder}: the run was begun without --smoke")
    if options.recipe:
        with quiet_import():
            recipe = recipes.smoke(options.recipe) if smoke else recipes.load(options.recipe).RECIPE
    else:
        recipe = began
    recipe = recipe.with_overrides(overrides)
    seed = options.seed if options.seed is not None else (record or {"seed": 0})["seed"]
    if record is not None:
        run_folder.check_same(folder, record, recipe, seed)
    elif recipe.needs_weights and not recipe.weights and not options.dry_run:
        raise ValueError(
            f"the recipe {recipe.name} starts from trained weights; name them with --weights, "
            "such as --weights imagenet or --weights runs/imagenet1k/model.keras"
        )
    return {
        "recipe": recipe, "seed": seed, "smoke": smoke, "data": data, "folder": folder,
        "record": record,
    }  # fmt: skip


def split_data(text):
    """What `--data` means: `(overrides of the recipe, path or None)`.

    >>> split_data("folder:/pictures")
    ({'data': 'folder'}, '/pictures')
    """
    for prefix in SPECS:
        if text and text.startswith(prefix):
            if prefix == "tfds:":
                return {"data": text}, None
            return {"data": prefix[:-1]}, text.removeprefix(prefix)
    return {}, text


def _folder_to_resume(options, run_folder):
    """`(folder, record, recipe)` of the run to go on with, `None`s for a new one."""
    if options.resume is None:
        return None, None, None
    if options.resume:
        if options.output and Path(options.output) != Path(options.resume):
            raise ValueError(f"--resume {options.resume} keeps its folder; leave out --output")
        folder = Path(options.resume)
        return folder, *run_folder.read_record(folder)
    output = Path(options.output) if options.output else None
    if output is None and options.recipe:
        output = run_folder.latest_folder(options.recipe)
    if output is not None and (output / run_folder.RECORD).exists():
        return output, *run_folder.read_record(output)
    if not options.recipe:
        raise ValueError("--resume without a folder needs --recipe NAME")
    return None, None, None


def _parser():
    listed = "".join(f"\n  {name:20} {recipes.summary(name)}" for name in recipes.names())
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        description="Trains a model by a recipe, evaluates and exports it.",
        epilog=f"recipes:{listed}\n\nThe head of training/recipes/NAME.py says what a recipe "
        "costs and what to expect of it;\n--dry-run prints all its figures, any of which --set "
        "changes.\n\nexamples:\n"
        "  python -m training.train --recipe quickstart\n"
        "  python -m training.train --recipe folder --data /pictures --weights imagenet\n"
        "  python -m training.train --recipe imagenet1k --set variant=tiny --dry-run\n"
        "  python -m training.train --resume runs/folder",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", metavar="NAME", help="what to train, see below")
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="where the images are, if the recipe does not know: a folder or file; or another "
        "source: folder:PATH (one sub-folder a class), csv:PATH (lists), tfrecord:PATH, "
        "tfds:NAME (TensorFlow Datasets)",
    )
    parser.add_argument(
        "--weights",
        metavar="WHAT",
        help="weights to start from: imagenet (the official ones), or a .pth, .weights.h5 or "
        ".keras file; a head of other classes begins anew",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="changes a figure of the recipe, such as --set epochs=100 --set variant=base_plus; "
        "may be given often",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        help="of the arithmetic; weights stay float32 (default: the recipe's, float32)",
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="where to keep the run, a new or empty folder; a folder that holds files is refused. "
        "Default: runs/NAME, or runs/NAME-2, -3 ... if earlier runs are there",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="goes on with the run in FOLDER where its last checkpoint is, with the recipe it "
        "began with. Without FOLDER: with the run in --output, or the newest runs/NAME, if there "
        "is one, else from the start",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="first weights, order and augmentation follow from it (default: 0)",
    )
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="the same seed on the same machine gives the same weights, bit by bit, also after "
        "--resume; slower",
    )
    parser.add_argument(
        "--save-every",
        type=_count,
        default=0,
        metavar="STEPS",
        help="also save each STEPS steps within an epoch (default: after each epoch)",
    )
    parser.add_argument(
        "--skip-corrupt",
        action="store_true",
        help="count and leave out images that cannot be read, instead of stopping at them",
    )
    parser.add_argument(
        "--jit", action="store_true", help="compile steps with XLA; not with --deterministic"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="a run of about a minute through every step of the recipe, on generated images; the "
        "model is useless",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print figures, size, steps and memory of what would be trained, and stop",
    )
    devices.add_arguments(parser)
    return parser


def _setting(text):
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, not {text!r}")
    return key.strip(), value


def _count(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 0, not {text!r}")
    return int(text)


def _seed(text):
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 0 to {2**31 - 1}, not {text!r}"
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
