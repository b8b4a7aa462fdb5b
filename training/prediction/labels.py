"""Names of classes in a text file."""

from keras_regionvit.files import one_line, open_regular


def read_labels(path):
    """The names of classes in a text file, one a line.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read().decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise ValueError(f"the names of the classes in {path} cannot be read: {reason}") from None
