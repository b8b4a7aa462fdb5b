"""One process at a time: locks that end with their process, however it ends."""

import contextlib
import fcntl
import os
from pathlib import Path

from keras_regionvit.files import WriteError

LOCK = ".lock"  # in the folder that is locked


def lock_file(file, refusal):
    """Locks an open file until it is closed; where the file system knows no locks, there is none.

    Args:
        file: an open file.
        refusal: what to say if another process has it.

    Raises:
        ValueError: another process has it.

    Example:

    >>> lock_file(open("rows.csv", "a"), "rows.csv is being written by another process.")
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(refusal) from None
    except OSError:
        return


@contextlib.contextmanager
def lock_folder(folder, refusal):
    """Locks a folder within the block, by a file in it that is removed after the block.

    A process that is killed leaves the file but no lock.

    Args:
        folder: the folder, which exists.
        refusal: what to say if another process has it.

    Raises:
        ValueError: another process has it.
        WriteError: the folder cannot be written to.

    Example:

    >>> with lock_folder("runs/mine", "runs/mine is in use."):
    ...     train()
    """
    path = Path(folder, LOCK)
    with contextlib.ExitStack() as opened:
        while True:
            try:
                file = opened.enter_context(open(path, "ab"))
            except OSError as error:
                raise WriteError(f"{folder} cannot be written to: {error.strerror}.") from error
            lock_file(file, refusal)
            if _is_at(file, path):  # else another process has removed it since
                break
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()  # while it is locked, so that it is nobody else's


def _is_at(file, path):
    """Whether an open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
