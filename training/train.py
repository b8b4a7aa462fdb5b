"""Trains a recipe.

Usage, from a clone:

    python -m training.train --recipe quickstart
"""

import argparse
import contextlib
import signal
import sys

from training.console import line_by_line, quiet_import
from training.distribute import options as devices
from training.recipes import catalogue

TRY_AGAIN = 75  # exit status where a worker was lost, as of sysexits.h


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options = parser().parse_args(arguments)
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
        catalogue.check(options.recipe)
    elif options.resume is None:
        raise ValueError("--recipe NAME is missing; --help lists the recipes")
    with quiet_import():
        from training.distribute.strategy import open_devices
        from training.runs.plan import make_plan
    cluster = devices.cluster(options)
    plan = make_plan(options, chief=cluster.index == 0)
    if options.dry_run:
        _describe(plan, options, cluster)
        return 0
    with quiet_import():
        import training.augmentation  # noqa: F401  # a library that is missing is named here
    if plan.complete:
        print(f"{plan.folder} is complete; report.json has its results.")
        return 0
    strategy = open_devices(options, cluster, plan.shared())
    return _train(plan, cluster, strategy)


def _describe(plan, options, cluster):
    """Prints what would be trained; nothing is written, downloaded or waited for."""
    with quiet_import():
        from training.distribute.strategy import check_fits, open_devices
        from training.runs.dry_run import describe
        from training.runs.plan import check_output
        from training.tasks import open_task
    check_output(plan)
    if len(cluster.workers) < 2:
        check_fits(open_devices(options, cluster, {}), plan.recipe, plan.jit_compile)
    print(describe(open_task(plan.recipe), plan.data, plan.seed))


def _train(plan, cluster, strategy):
    """Trains on the devices that are open; returns the exit status."""
    import tensorflow as tf

    from keras_regionvit.files import WriteError
    from training.distribute.collectives import LostWorker, from_chief, together
    from training.distribute.strategy import check_fits
    from training.distribute.strategy import describe as describe_devices
    from training.engine.loop import NotFinite
    from training.engine.signals import Stopped, StopRequest
    from training.runs.plan import begin
    from training.runs.report import print_report
    from training.runs.run import run
    from training.tasks import open_task

    check_fits(strategy, plan.recipe, plan.jit_compile)
    folder, task = plan.expected_folder, open_task(plan.recipe)
    try:
        with StopRequest() as stop, together(strategy), contextlib.ExitStack() as held:
            folder = from_chief(strategy, lambda: begin(plan, held), ValueError, WriteError)
            print(f"Recipe {plan.recipe.name}, seed {plan.seed}; the run is kept in {folder}")
            if strategy.num_replicas_in_sync > 1:
                print(f"on {describe_devices(strategy)}")
            report = run(task, plan, folder, strategy=strategy, stop=stop)
        if cluster.index == 0:
            print_report(task, report, folder)
        return 0
    except Stopped as error:
        again = how_to_go_on(folder, cluster)
        print(f"{error}; the state is saved, {again}", file=sys.stderr)
        return 128 + signal.Signals[stop.requested or "SIGTERM"]
    except LostWorker as error:
        print(
            f"error: {error} The last checkpoint is intact; {how_to_go_on(folder, cluster)}\n"
            f"TensorFlow's words: {first_line(error.__cause__)}",
            file=sys.stderr,
        )
        return TRY_AGAIN
    except (WriteError, NotFinite) as error:
        again = how_to_go_on(folder, cluster)
        print(f"error: {error} {again[0].upper()}{again[1:]}", file=sys.stderr)
        return 1
    except tf.errors.OpError as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 1


def how_to_go_on(folder, cluster):
    """What to type after a run has ended early."""
    if len(cluster.workers) > 1:  # a single one of them would train by itself
        return f"start all workers again, with --resume {folder}"
    return f"go on with: python -m training.train --resume {folder}"


def first_line(error):
    """What an error says, in a line."""
    from training.data.corrupt_images import said

    return said(error)


def parser():
    """The options of the command."""
    listed = "".join(f"\n  {name:20} {catalogue.summary(name)}" for name in catalogue.names())
    made = argparse.ArgumentParser(
        prog="python -m training.train",
        description="Trains a model by a recipe, evaluates and exports it.",
        epilog=f"recipes:{listed}\n\nThe head of training/recipes/TASK/NAME.py says what a recipe "
        "costs and what to expect of it;\n--dry-run prints all its settings, any of which --set "
        "changes.\n\nexamples:\n"
        "  python -m training.train --recipe quickstart\n"
        "  python -m training.train --recipe folder --data /photos --weights imagenet\n"
        "  python -m training.train --recipe imagenet1k --set model.variant=tiny --dry-run\n"
        "  python -m training.train --resume runs/folder",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--recipe", metavar="NAME", help="what to train, see below")
    made.add_argument(
        "--data",
        metavar="PATH",
        help="where the images are, if the recipe does not know: a folder or file; or another "
        "source: folder:PATH (one sub-folder a class), csv:PATH (lists), tfrecord:PATH, "
        "tfds:NAME (TensorFlow Datasets)",
    )
    made.add_argument(
        "--weights",
        metavar="WHAT",
        help="weights to start from: imagenet (the official ones), or a .pth, .weights.h5 or "
        ".keras file; a head of other classes begins again",
    )
    made.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="SECTION.KEY=VALUE",
        help="changes a setting of the recipe, such as --set schedule.epochs=100 --set "
        "model.variant=base_plus; may be given often",
    )
    made.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        help="of the arithmetic; weights stay float32 (default: the recipe's, float32)",
    )
    _add_options_of_the_run(made)
    devices.add_arguments(made)
    return made


def _add_options_of_the_run(made):
    made.add_argument(
        "--output",
        metavar="FOLDER",
        help="where to keep the run, a new or empty folder; a folder that holds files is refused. "
        "Default: runs/NAME, or runs/NAME-2, -3 ... if earlier runs are there",
    )
    made.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="goes on with the run in FOLDER where its last checkpoint is, with the recipe it "
        "began with. Without FOLDER: with the run in --output, or the newest runs/NAME, if there "
        "is one, else from the start",
    )
    made.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="first weights, order and augmentation follow from it (default: 0)",
    )
    made.add_argument(
        "--deterministic",
        action="store_true",
        help="the same seed on the same machine gives the same weights, bit by bit, also after "
        "--resume; slower",
    )
    made.add_argument(
        "--save-every",
        type=_count,
        default=0,
        metavar="STEPS",
        help="also save each STEPS steps within an epoch (default: after each epoch)",
    )
    made.add_argument(
        "--skip-corrupt",
        action="store_true",
        help="count and leave out images that cannot be read, instead of stopping at them",
    )
    made.add_argument(
        "--jit", action="store_true", help="compile steps with XLA; not with --deterministic"
    )
    made.add_argument(
        "--smoke",
        action="store_true",
        help="a run of about a minute through every step of the recipe, on generated images; the "
        "model is useless",
    )
    made.add_argument(
        "--dry-run",
        action="store_true",
        help="print settings, size, steps and memory of what would be trained, and stop",
    )


def _setting(text):
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be SECTION.KEY=VALUE, not {text!r}")
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
