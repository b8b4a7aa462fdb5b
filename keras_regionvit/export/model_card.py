"""What is known of an exported model, beside it: `assets.extra/model_card.json`."""

import hashlib
import json
import os
from pathlib import Path

from keras_regionvit.files import one_line, open_regular, read_json

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
        ValueError: there is no card, a value in it is of another type, or a file is missing,
            added, other than it was, or no file at all.

    Example:

    >>> read_card("serving/regionvit/1")["versions"]["keras_regionvit"]
    """
    folder = Path(folder)
    try:
        card = read_json(folder / CARD)
    except FileNotFoundError:
        raise ValueError(f"{folder} has no {CARD}; export it with this package.") from None
    except (OSError, ValueError):
        card = None
    problem = _problem(card)
    if problem:
        raise ValueError(f"{folder / CARD} is damaged{problem}; export the model again.")
    expected, names = card["sha256"], set(_files(folder))
    for name in sorted({*expected, *names}):
        # by their names first: what nobody knows may be of any size
        if name not in expected or name not in names:
            state = "missing" if name not in names else "new"
            raise ValueError(
                f"{one_line(folder / name)} is {state} since the export; export it again."
            )
    for name, found in checksums(folder).items():
        if expected[name] != found:
            raise ValueError(
                f"{one_line(folder / name)} is changed since the export; export it again."
            )
    return card


# Types of what others read of a card; a value may be missing, or `None` where it is not known.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "parameters": int,
    "compute_dtype": str,
    "images": list,
    "classes": int,
    "preprocessing": dict,
    "signatures": dict,
    "versions": dict,
    "source": str,
    "recipe": (dict, str),  # a run's is a dict; others may name theirs
    "metrics": dict,
    "seed": int,
    "revision": str,
}


def _problem(card):
    """What is wrong with the values of a card, after "damaged"; empty if nothing is."""
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), dict):
        return ": it has no `sha256`"
    for name, kind in _TYPES.items():
        value = card.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            return f": its `{name}` is of the type {type(value).__name__}"
    for value in card["sha256"].values():
        if not isinstance(value, str):
            return ": its `sha256` has a value that is no text"
    return ""


def checksums(folder):
    """SHA-256 of every file of a SavedModel but the card, a dict by the file's name.

    Raises:
        ValueError: there is something that is neither a file nor a folder, or a link to a folder.
    """
    return {name: checksum(Path(folder, name)) for name in _files(Path(folder))}


def _files(folder):
    """Names of the files of a SavedModel but the card, sorted."""
    found = []
    for parent, folders, names in os.walk(folder):
        linked = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        odd = [name for name in names if not os.path.isfile(os.path.join(parent, name))]
        for name in (*linked, *odd):  # TensorFlow would follow a link, or wait for a pipe
            path = os.path.join(parent, name)
            raise ValueError(
                f"{one_line(path)} is neither a file nor a folder; export the model again."
            )
        found += [Path(parent, name).relative_to(folder) for name in names]
    return sorted(name.as_posix() for name in found if name != CARD)


def checksum(path):
    """SHA-256 of a file, hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
