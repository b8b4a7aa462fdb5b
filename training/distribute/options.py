"""The options of the command that say on which devices and machines to train."""

import argparse

STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")
WAIT = 60.0  # seconds in which all workers must have come, if --wait does not say


def add_arguments(parser):
    """Adds the options to an `argparse` parser."""
    group = parser.add_argument_group("devices and machines")
    group.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="auto",
        help="one device; mirrored over the GPUs of this machine; multiworker over several "
        "machines; tpu; auto takes what is there (default)",
    )
    group.add_argument(
        "--workers",
        metavar="HOST:PORT,...",
        help="addresses of all processes of a training over several machines, the chief first, the "
        "same list everywhere; or let TF_CONFIG say it",
    )
    group.add_argument(
        "--index", type=_number, metavar="N", help="which of --workers this process is, from 0 on"
    )
    group.add_argument(
        "--wait",
        type=_seconds,
        metavar="SECONDS",
        help=f"how long to wait at the start for the other workers (default: {WAIT:g})",
    )
    group.add_argument(
        "--devices",
        type=_number,
        metavar="N",
        help="how many GPUs to take for mirrored (default: all); without a GPU: in how many parts "
        "to run on the CPU, for trials",
    )


def cluster(options):
    """The `training.distribute.cluster.Cluster` that options or `TF_CONFIG` name.

    Raises:
        ValueError: they make no sense.
    """
    from training.distribute.cluster import Cluster, cluster_of

    if options.strategy in ("auto", "multiworker") or options.workers or options.index is not None:
        return cluster_of(options.workers, options.index)
    return Cluster()


def _number(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}")
    return int(text)


def _seconds(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return seconds
