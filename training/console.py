"""Keeps TensorFlow's greeting out of a command's output."""

import contextlib
import io
import os
import sys
import tempfile

OWN = ("keras_regionvit", "training")
EXTRAS = {"apache_beam": "train,beam"}  # what installs a library; else the extra [train]


@contextlib.contextmanager
def quiet_import():
    """Holds back what libraries write to stderr while they are imported, unless that fails.

    TensorFlow logs the instructions and drivers that it found before its own log level can be
    set. Python's warnings are not touched by this once the block has ended.

    Raises:
        ValueError: a library is missing; the sentence says how it is installed.

    Example:

    >>> with quiet_import():
    ...     import tensorflow
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors still come as exceptions
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in OWN or not missing:
                raise
            extra = EXTRAS.get(missing, "train")
            raise ValueError(
                f"{missing} is not installed; pip install -e '.[{extra}]' installs what is needed"
            ) from None
        except BaseException:
            aside.seek(0)
            os.write(stderr, aside.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def line_by_line():
    """Makes what is printed appear at once, also in a file or a pipe."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
