"""What is known of an exported model, beside it: `assets.extra/model_card.json`."""

import hashlib
import json
from pathlib import Path

# Files of a SavedModel that TensorFlow carries along and leaves to others to read.
CARD = Path("assets.extra", "model_card.json")
LABELS = Path("assets.extra", "labels.txt")


def write_card(folder, values):
    """Writes the card of a SavedModel: the given values, and the SHA-256 of every other file.

    Args:
        folder: of the SavedModel.
        values: a dict of plain data.

    Example:

    >>> write_card("serving/regionvit/1", {"name": "regionvit_small"})
    """
    folder = Path(folder)
    card = {**values, "sha256": checksums(folder)}
    (folder / CARD).parent.mkdir(exist_ok=True)
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def read_card(folder):
    """The card of a SavedModel, after its files were found to be those that were written.

    Args:
        folder: of the SavedModel.

    Returns:
        The dict.

    Raises:
        ValueError: there is no card, or a file is missing, added or other than it was.

    Example:

    >>> read_card("serving/regionvit/1")["versions"]["keras_regionvit"]
    """
    folder = Path(folder)
    try:
        card = json.loads((folder / CARD).read_text("utf-8"))
        expected = dict(card["sha256"])
    except OSError:
        raise ValueError(f"{folder} has no {CARD}; export it with this package.") from None
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{folder / CARD} is damaged; export the model again.") from None
    found = checksums(folder)
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            state = "missing" if name not in found else "new" if name not in expected else "changed"
            raise ValueError(f"{folder / name} is {state} since the export; export it again.")
    return card


def checksums(folder):
    """SHA-256 of every file of a SavedModel but the card, a dict by the file's name."""
    folder, found = Path(folder), {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name != CARD:
            found[name.as_posix()] = checksum(path)
    return found


def checksum(path):
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
