"""Files and folders that are whole or not there: written aside, then renamed."""

import contextlib
import json
import os
import shutil
import stat
from pathlib import Path

_ASIDE = ".aside-"
_LONGEST = 300  # characters of another's text that a sentence shows
_MAX_JSON = 4 * 2**20  # bytes; a run's record has 3,000


class WriteError(RuntimeError):
    """A file cannot be written; what was there before is intact."""


@contextlib.contextmanager
def replacing(path):
    """Gives the path of a file beside `path`, which replaces `path` if the block succeeds.

    The file is on the disk before it is renamed, so that a crash at any moment leaves the old
    or the new file, whole.

    Args:
        path: the file to make or replace, a string or `os.PathLike`. Its folder exists.

    Yields:
        A `pathlib.Path` in the same folder that ends in the name of `path`.

    Raises:
        WriteError: the disk is full, the folder cannot be written to, and the like.

    Example:

    >>> with replacing("runs/mine/report.json") as aside:
    ...     aside.write_text("{}")
    """
    path = Path(path)
    aside = path.with_name(f"{_ASIDE}{os.getpid()}-{path.name}")
    try:
        yield aside
        _to_disk(aside)
        os.replace(aside, path)
        _to_disk(path.parent)
    except OSError as error:
        before = "; the one before is intact" if path.exists() else ""
        reason = error.strerror or str(error).splitlines()[0]
        raise WriteError(f"{path} cannot be written: {reason}{before}.") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


@contextlib.contextmanager
def replacing_folder(path):
    """Gives the path of a new folder beside `path`, renamed to `path` if the block succeeds.

    Until then only its owner may look into it. All that is in it is on the disk before it is
    renamed. Whatever ends the block otherwise, an interrupt included, removes it.

    Args:
        path: the folder to make, a string or `os.PathLike`; it must not exist yet. Its parents
            are made.

    Yields:
        A `pathlib.Path` of an empty folder with the same parent.

    Raises:
        ValueError: `path` exists.
        OSError: the disk is full, the parent cannot be written to, and the like.

    Example:

    >>> with replacing_folder("animals/1") as aside:
    ...     (aside / "names.txt").write_text("cat")
    """
    path = Path(path)
    if path.exists() or path.is_symlink():
        raise ValueError(f"`path` must not exist yet, so that nothing is lost. Received: {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    # A part by chance: a killed process may have left a folder, and its number may come again.
    aside = path.with_name(f"{_ASIDE}{os.getpid()}-{path.name}-{os.urandom(4).hex()}")
    try:
        aside.mkdir(0o700)  # inside `try`, so that no signal comes between
        yield aside
        for file_or_folder in (*aside.rglob("*"), aside):
            _to_disk(file_or_folder)
        aside.chmod(0o755)
        os.rename(aside, path)
        _to_disk(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def remove_leftovers(folder):
    """Removes the files and folders that writes which were killed left in `folder`.

    Args:
        folder: a string or `os.PathLike`; nobody else writes into it.

    Example:

    >>> remove_leftovers("runs/mine")
    """
    for path in Path(folder).glob(f"{_ASIDE}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def write_text(path, text):
    """Writes a text file in UTF-8, whole or not at all.

    Args:
        path: the file to make or replace, a string or `os.PathLike`.
        text: what it holds, a string.

    Raises:
        WriteError: the file cannot be written.

    Example:

    >>> write_text("labels.txt", "cat, dog")
    """
    with replacing(path) as aside:
        aside.write_text(text, "utf-8")


def write_json(path, value):
    """Writes plain data as JSON, whole or not at all.

    Args:
        path: the file to make or replace, a string or `os.PathLike`.
        value: what `json.dumps` takes.

    Raises:
        TypeError: `value` is not plain data.
        WriteError: the file cannot be written.

    Example:

    >>> write_json("report.json", {"accuracy": 0.75})
    """
    write_text(path, json.dumps(value, indent=1) + "\n")


def open_regular(path):
    r"""Opens a file for reading bytes, but no pipe, device or folder.

    To open a pipe waits for its other end, and a device may never end.

    Args:
        path: a string or `os.PathLike`.

    Returns:
        A binary file.

    Raises:
        ValueError: it is not a regular file.
        OSError: it does not exist or cannot be opened.

    Example:

    >>> with open_regular("last.npz") as file:
    ...     file.read(4)
    b'PK\x03\x04'
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{one_line(os.fspath(path))} is not a regular file.")
    return open(path, "rb")


def read_json(path):
    """What a JSON file holds.

    Args:
        path: a string or `os.PathLike`.

    Returns:
        Plain data.

    Raises:
        ValueError: it is not a regular file, is larger than 4 MiB, or not JSON.
        OSError: it does not exist or cannot be opened.

    Example:

    >>> read_json("report.json")["accuracy"]
    0.75
    """
    with open_regular(path) as file:
        text = file.read(_MAX_JSON + 1)
    if len(text) > _MAX_JSON:
        raise ValueError(f"{path} is damaged: it has more than {_MAX_JSON:,} bytes.")
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):  # the latter where it is nested too deeply
        raise ValueError(f"{path} is damaged: it is not JSON.") from None


def one_line(text):
    """A text, or what an error says, for a sentence: its first line, of bounded length.

    Args:
        text: a string or an exception.

    Returns:
        A string of at most 303 characters.

    Example:

    >>> one_line(KeyError())
    'KeyError'
    """
    lines = str(text).strip().splitlines() or [type(text).__name__]
    line = "".join(c if c.isprintable() else "?" for c in lines[0][: _LONGEST + 1])
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "..."


def _to_disk(path):
    """Has a file or folder written out, so that a crash cannot leave an empty one behind."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
