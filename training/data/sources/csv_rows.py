"""The rows of a CSV file that lists images: each image once, with a label, and there."""

import csv
import dataclasses
import os
from pathlib import Path

from training.data.sources.formats import SUFFIXES, UNREAD
from training.data.sources.words import shown

NONE = "No Finding"  # ChestX-ray8's word for an image without labels


@dataclasses.dataclass(frozen=True)
class Listed:
    """What a list says.

    Attributes:
        rows: a dict from files, named from the folder of the list, to lists of labels.
        notes: what to say of it, strings.
    """

    rows: dict[str, list[str]]
    notes: tuple[str, ...]


def read_list(path, multi_label):
    """Reads a list of images.

    Args:
        path: the CSV file, a `Path`.
        multi_label: whether a label is any number of classes with `|` between them.

    Returns:
        A `Listed`.

    Raises:
        ValueError: the file is no CSV in UTF-8 or lists no images, a row is incomplete, an image
            is missing or has two labels.

    Example:

    >>> read_list(Path("chest/train.csv"), multi_label=True).rows
    {'1.png': ['Mass', 'Hernia']}
    """
    files = _Files(path.parent)
    rows: dict[str, list[str]] = {}
    notes: tuple[str, ...] = ()
    missing: list[str] = []
    twice: list[str] = []
    against: list[str] = []
    for number, (line, row) in enumerate(_lines(path)):
        file = files.find(row[0])
        if number == 0 and file is None and not _called_as_image(row[0]):
            notes += (f"{shown(path)}: taken for a heading: {shown(','.join(row), 80)}",)
            continue
        labels = _labels(path, line, row, multi_label)
        if file is None:
            missing.append(row[0].strip())
        elif file in rows:
            (twice if sorted(rows[file]) == sorted(labels) else against).append(file)
        else:
            rows[file] = labels
    _refuse(path, rows, missing, against, multi_label)
    if twice:
        notes += (
            f"{shown(path)} lists {len(twice):,} images again with the same label, the first of "
            f"them {shown(twice[0])}; each counts once",
        )
    return Listed(rows, notes)


def _refuse(path, rows, missing, against, multi_label):
    """Raises a `ValueError` for what makes a list another data set than was meant."""
    if missing:
        raise ValueError(
            f"{shown(path)} lists {len(missing)} files that are not in {shown(path.parent)}, the "
            f"first of them {shown(missing[0])}."
        )
    if against:
        more = "; join them with |" if multi_label else ""
        raise ValueError(
            f"{shown(path)} lists {len(against)} images again with another label, the first of "
            f"them {shown(against[0])}; each must have one row{more}."
        )
    if not rows:
        raise ValueError(f"{shown(path)} lists no images; a row is `file,label`.")


def _lines(path):
    """`(number of the line, row)` of each row of a CSV file that is not empty."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for row in reader:
                if any(field.strip() for field in row):
                    yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(
            f"{shown(path)}, line {reader.line_num}, cannot be read as CSV: {error}; perhaps a "
            "quote is not closed."
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{shown(path)} must be a CSV file in UTF-8; byte {error.start:,} is not."
        ) from None
    except OSError as error:
        raise ValueError(f"{shown(path)} cannot be opened: {error.strerror}.") from None


def _labels(path, line, row, multi_label):
    """The labels of a row."""
    text = row[1].strip() if len(row) > 1 else ""
    if multi_label and len(row) > 1:
        names = [name.strip() for name in text.split("|")]
        return list(dict.fromkeys(name for name in names if name not in ("", NONE)))
    if not text:
        raise ValueError(
            f"{shown(path)}, line {line}, is not `file,label`: {shown(','.join(row), 80)}"
        )
    return [text]


def _called_as_image(name):
    return name.strip().lower().endswith(SUFFIXES + UNREAD)


class _Files:
    """The files below a folder, with one look into each folder."""

    def __init__(self, folder):
        self.folder = folder
        self.listings: dict[Path, set[str]] = {}

    def find(self, name):
        """The file of a name as a list has it, perhaps with spaces around; None if missing."""
        for candidate in dict.fromkeys((name, name.strip())):
            file = os.path.normpath(candidate) if candidate else ""
            place = self.folder / file
            if file and place.name in self._listing(place.parent):
                return file
        return None

    def _listing(self, folder):
        if folder not in self.listings:
            try:
                self.listings[folder] = set(os.listdir(folder))
            except (FileNotFoundError, NotADirectoryError):
                self.listings[folder] = set()
            except (OSError, ValueError) as error:  # ValueError: of a name with a zero byte
                reason = getattr(error, "strerror", None) or error
                raise ValueError(f"{shown(folder)} cannot be opened: {reason}.") from None
        return self.listings[folder]
