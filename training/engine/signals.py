"""Asking a run to stop."""

import signal


class Stopped(Exception):
    """The run was asked to stop; its state is saved."""


class StopRequest:
    """Notes SIGTERM and SIGINT, for the loop to end after a step; a second SIGINT interrupts.

    Attributes:
        requested: the name of the signal, or "".

    Example:

    >>> with StopRequest() as stop:
    ...     Loop(task, state, info, folder, steps_per_epoch=9, stop=stop).train(batches, held_out)
    """

    def __init__(self):
        self.requested, self.before = "", {}

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, _frame):
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name
