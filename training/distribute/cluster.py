"""Which processes share a training: addresses, and which of them this one is."""

import dataclasses
import json
import os

from training.distribute.rendezvous import split_address

LONGEST = 400  # characters of TF_CONFIG that a message shows


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a training.

    Attributes:
        workers: addresses "host:port", the chief first; none for a single process.
        index: which of them this process is.
    """

    workers: tuple[str, ...] = ()
    index: int = 0


def cluster_of(workers=None, index=None, environment=os.environ):
    """The cluster from `--workers` and `--index`, or else from `TF_CONFIG`.

    Args:
        workers: optional text "host:port,host:port".
        index: optional int.
        environment: a mapping.

    Returns:
        A `Cluster`.

    Raises:
        ValueError: the two are incomplete or make no sense.

    Example:

    >>> cluster_of("10.0.0.1:7000,10.0.0.2:7000", 1)
    Cluster(workers=('10.0.0.1:7000', '10.0.0.2:7000'), index=1)
    """
    if workers is None and index is None:
        text = environment.get("TF_CONFIG", "")
        return _from_tf_config(text) if text.strip() else Cluster()
    if workers is None or index is None:
        raise ValueError("--workers and --index go together: all addresses, and which is this one")
    listed = [part.strip() for part in workers.split(",") if part.strip()]
    return _checked("--workers", listed, index)


def _from_tf_config(text):
    """The cluster that the text of `TF_CONFIG` names."""
    try:
        config = json.loads(text)
        jobs = config.get("cluster", {})
        chiefs = jobs.get("chief", [])
        listed = [*chiefs, *jobs.get("worker", [])]
        if not listed:
            return Cluster()
        job, index = str(config["task"]["type"]), int(config["task"]["index"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(
            'TF_CONFIG must be like {"cluster": {"worker": ["host:port", ...]}, "task": '
            f'{{"type": "worker", "index": 0}}}}. Received: {text[:LONGEST]!r}'
        ) from None
    if job not in ("chief", "worker"):
        raise ValueError(
            f"TF_CONFIG: a task of type {job!r} takes no part in a training; use chief and worker."
        )
    index += len(chiefs) if job == "worker" else 0
    if len(listed) == 1 and index == 0:
        return Cluster()
    return _checked("TF_CONFIG", listed, index)


def _checked(name, listed, index):
    """The `Cluster` of addresses; `name` says in messages where they come from."""
    for address in listed:
        split_address(address)
    if len(set(listed)) != len(listed):
        raise ValueError(f"{name} must name each worker once. Received: {','.join(listed)}")
    if not 0 <= index < len(listed):
        raise ValueError(
            f"the index must lie between 0 and {len(listed) - 1}, for {name} names {len(listed)}. "
            f"Received: {index}"
        )
    return Cluster(tuple(listed), index)
