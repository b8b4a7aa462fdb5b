"""What an evaluator is: metrics over a whole data set, gathered batch by batch."""

import abc
import csv

from keras_regionvit.files import replacing


class Evaluator(abc.ABC):
    """Metrics of a model over a data set.

    `measure` runs on the device, within the compiled step, so that what leaves it is small;
    `update` and `result` run on the host.

    Attributes:
        monitor: name of the metric that the best epoch is best in.
        mode: "max" if more of it is better, "min" if less.

    Example:

    >>> evaluator.reset()
    >>> for targets, outputs, weights in batches:
    ...     evaluator.update(*evaluator.measure(targets, outputs, weights))
    >>> evaluator.result()
    """

    monitor = "loss"
    mode = "min"

    @property
    @abc.abstractmethod
    def count(self):
        """How many examples counted since `reset`."""

    @abc.abstractmethod
    def reset(self):
        """Forgets all batches."""

    @abc.abstractmethod
    def measure(self, targets, outputs, weights):
        """What is kept of the rows of one replica; part of a compiled step.

        Args:
            targets: a nest, each tensor with B rows.
            outputs: of the model, likewise.
            weights: float32 (B,): 1 for an example, 0 for a row that only fills the batch up.

        Returns:
            `(sums, rows)`: a nest of tensors that are added up over replicas, and a nest of tensors
            with B rows that are put together.
        """

    @abc.abstractmethod
    def update(self, sums, rows):
        """Takes what `measure` gave for a global batch."""

    @abc.abstractmethod
    def result(self):
        """The metrics, a dict of floats; `monitor` is among them.

        Raises:
            ValueError: no example counted.
        """

    def table(self):
        """What each class has once there is a result: a list of dicts, "name" first.

        It is empty where nothing is told by classes, the default.
        """
        return []

    def improves(self, value, earlier):
        """Whether `value` of the monitor is as good as the best of the list `earlier`, or better.

        Of epochs that are equally good the last one is the best: it has learnt longer.
        """
        if not earlier:
            return True
        return value >= max(earlier) if self.mode == "max" else value <= min(earlier)


def write_table(evaluator, folder):
    """Writes what each class has into `classes.csv`, if it has anything.

    Args:
        evaluator: an `Evaluator` that has its result.
        folder: a `Path`.

    Raises:
        WriteError: it cannot be written.

    Example:

    >>> write_table(evaluator, Path("plots"))
    """
    rows = evaluator.table()
    if not rows:
        return
    with (
        replacing(folder / "classes.csv") as aside,
        open(aside, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
