"""What a run says while it goes on: how far it is, how fast, how long it will take."""

import math
import sys

import tqdm

LINE_EVERY = 60  # seconds between lines within an epoch, where they do not overwrite each other


class Progress:
    """A bar on a terminal, lines elsewhere; and a line an epoch.

    Args:
        steps_per_epoch: steps an epoch.
        epochs: epochs in all.
        batch_size: examples a step.
        unit: what an example is called, in the plural.
        step: the step that the training starts at.

    Example:

    >>> progress = Progress(steps_per_epoch=100, epochs=3, batch_size=50, unit="images")
    """

    def __init__(self, steps_per_epoch, epochs, batch_size, unit, step=0):
        self.epochs, self.batch_size, self.unit = epochs, batch_size, unit
        self.first, self.seconds, self.steps = True, 0.0, 0
        terminal = sys.stdout.isatty()
        self.bar = tqdm.tqdm(
            total=steps_per_epoch * epochs,
            initial=step,
            file=sys.stdout if terminal else _Lines(),
            mininterval=0.5 if terminal else LINE_EVERY,
            maxinterval=LINE_EVERY,
            smoothing=0,  # evaluations count for the time that is left
            leave=False,
            delay=1e-3,  # nothing before the first step
            dynamic_ncols=terminal,
            bar_format="step {n}/{total}{postfix}  {remaining} left",
        )

    def stepped(self, step, seconds):
        """Counts a step; from time to time it is shown."""
        if self.first:  # builds the graph
            self.first = False
        else:
            self.seconds, self.steps = self.seconds + seconds, self.steps + 1
            self.bar.set_postfix_str(self._speed(), refresh=False)
        self.bar.update(step - self.bar.n)

    def epoch_ended(self, row, number):
        """Prints the values of an epoch, a dict, and which one it is, from 1 on."""
        width = len(str(self.epochs))
        values = "  ".join(
            f"{name} {value:.4f}"
            for name, value in row.items()
            if name not in ("epoch", "learning_rate")
        )
        shown = [f"epoch {number:{width}}/{self.epochs}", values]
        if self.seconds:  # not known to a process that resumed at the end of an epoch
            shown.append(self._speed())
        if self.bar.n > self.bar.initial:
            shown.append(f"{self._left()} left")
        self.bar.write("  ".join(shown), file=sys.stdout)

    def close(self):
        """Takes the bar off the terminal."""
        self.bar.close()

    def speed(self):
        """Examples a second of the training steps so far, without the first one; a float."""
        return self.batch_size * self.steps / self.seconds if self.seconds else math.nan

    def _speed(self):
        return f"{self.speed():,.0f} {self.unit}/s"

    def _left(self):
        now = self.bar.format_dict
        done = now["n"] - now["initial"]
        seconds = now["elapsed"] / max(done, 1) * (now["total"] - now["n"])
        return tqdm.tqdm.format_interval(seconds)


class _Lines:
    """Standard output for what overwrites itself on a terminal: each state is a line."""

    def write(self, text):
        text = text.strip("\r\n \x1b[A")
        if text:
            print(text, flush=True)

    def flush(self):
        sys.stdout.flush()
