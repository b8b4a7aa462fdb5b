"""What several processes agree on while they train: one of them, the chief, reads and writes."""

import contextlib
import json
import re

import numpy as np
import tensorflow as tf

from training.distribute.replicas import local_replicas, workers_of


class LostWorker(RuntimeError):
    """Another worker ended, and with it the run; the last checkpoint is intact."""


@contextlib.contextmanager
def together(strategy):
    """Says in one sentence that a worker is lost, where TensorFlow would say it in many.

    Raises:
        LostWorker: another worker ended, or did not answer for a while.

    Example:

    >>> with together(strategy):
    ...     step(images, labels)
    """
    lost = (
        tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
        tf.errors.DeadlineExceededError, tf.errors.InternalError,
    )  # fmt: skip
    try:
        yield
    except lost as error:
        if workers_of(strategy) == 1:
            raise
        found = re.findall(r"/job:worker/(?:replica:\d+/)?task:(\d+)", error.message or "")
        own = strategy.cluster_resolver.task_id
        numbers = sorted({int(number) for number in found} - {own})
        which = f"worker {', '.join(map(str, numbers))}" if numbers else "another worker"
        raise LostWorker(f"{which} ended or does not answer any more.") from error


def is_chief(strategy):
    """Whether this process is the one that writes files and reads checkpoints."""
    resolver = strategy.cluster_resolver
    return workers_of(strategy) == 1 or not resolver or resolver.task_id == 0


def from_chief(strategy, function, *errors):
    """Calls `function` in the chief only; all wait for it and get its result.

    Args:
        strategy: a `tf.distribute.Strategy`.
        function: without arguments, gives plain data for JSON.
        *errors: classes of exceptions that are then raised in all workers.

    Returns:
        The result.

    Raises:
        errors: as raised in the chief, with the same text.

    Example:

    >>> from_chief(strategy, lambda: checkpoint.save(path, variables, {}), checkpoint.WriteError)
    """
    if workers_of(strategy) == 1:
        return function()
    answer = {}
    if is_chief(strategy):
        try:
            answer = {"result": function()}
        except errors as error:
            answer = {"error": str(error), "kind": type(error).__name__}
    answer = json.loads(_text_from(strategy, 0, json.dumps(answer)))
    if "error" not in answer:
        return answer["result"]
    kinds = {kind.__name__: kind for kind in errors}
    raise kinds.get(answer["kind"], errors[0])(answer["error"])


def from_all(strategy, value):
    """What each worker has, plain data for JSON, in all of them: a list in their order.

    Example:

    >>> from_all(strategy, socket.gethostname())
    ['node-1', 'node-2']
    """
    if workers_of(strategy) == 1:
        return [value]
    text = json.dumps(value)
    return [json.loads(_text_from(strategy, i, text)) for i in range(workers_of(strategy))]


def check_same(strategy, found):
    """Checks that all workers found the same, where a difference would let them wait for ever.

    Args:
        strategy: a `tf.distribute.Strategy`.
        found: a dict of plain data.

    Raises:
        ValueError: one has found something else than the chief; the same sentence in all.

    Example:

    >>> check_same(strategy, {"number of classes": 1000})
    """
    chief = from_chief(strategy, lambda: found)
    own = next((k for k in {**chief, **found} if chief.get(k) != found.get(k)), None)
    if not anyone(strategy, own is not None):
        return
    differences = from_all(strategy, [own, found.get(own)])
    for worker, (key, value) in enumerate(differences):
        if key is not None:
            raise ValueError(
                f"worker {worker} has other images than worker 0: the {key} is {value!r}, "
                f"not {chief.get(key)!r}; give all workers the same data."
            )


def same_everywhere(strategy, variables):
    """Gives all workers the chief's values of Keras variables."""
    if workers_of(strategy) == 1:
        return
    for variable in variables:
        variable.assign(array_from_chief(strategy, np.asarray(variable.value)))


def anyone(strategy, flag):
    """Whether `flag` is true in any worker; all must ask at the same step."""
    if workers_of(strategy) == 1:
        return bool(flag)
    return float(_sum(strategy, np.float32(bool(flag)))) > 0


def array_from_chief(strategy, array):
    """The chief's array, everywhere; arrays have the same shape and dtype in all workers."""
    return _sum(strategy, array if is_chief(strategy) else np.zeros_like(array))


def _text_from(strategy, worker, text):
    """The text of one of the workers, everywhere."""
    mine = strategy.cluster_resolver.task_id == worker
    data = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
    length = int(_sum(strategy, np.int32(len(data) if mine else 0)))
    data = data if mine else np.zeros(length, np.int32)
    return bytes(_sum(strategy, data).astype(np.uint8)).decode()


def _sum(strategy, array):
    """The sum of an array over the workers: NumPy to NumPy."""

    def once(context):
        mine = context.replica_id_in_sync_group % local_replicas(strategy) == 0
        return tf.convert_to_tensor(array if mine else np.zeros_like(array))

    values = strategy.experimental_distribute_values_from_function(once)
    return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()
