"""Images that a CSV file lists with their labels."""

import csv
import os
from pathlib import Path

import numpy as np

from training.data.sources.folders import SUFFIXES
from training.data.sources.source import file_source, multi_hot
from training.data.sources.splits import names_of

NONE = "No Finding"  # ChestX-ray8's word for an image without labels


def open_csv(data, split, *, channels=3, multi_label=False):
    """The images of a list, such as ImageNet-21k's or ChestX-ray8's.

    A row is `file,label`, further columns are passed over; a first row that names no image is a
    heading. With `multi_label` a label is any number of classes with `|` between them, and
    "No Finding" or nothing stands for none. Files are named from the folder of the list; the
    classes are those of the training list, sorted.

    Args:
        data: a CSV file, or a folder with `train.csv` and `validation.csv` (or `test.csv`).
        split: "train", "validation" or "test", for a folder.
        channels: 3 or 1.
        multi_label: whether an image may have any number of classes.

    Returns:
        A `Source`.

    Raises:
        ValueError: the list or an image in it is missing, a row is incomplete, a label is not
            among the classes, or there are fewer than two classes.

    Example:

    >>> open_csv("chest", "train", multi_label=True).info["class_names"][:2]
    ('Atelectasis', 'Cardiomegaly')
    """
    path = list_of(Path(data), split)
    rows = read_rows(path, multi_label)
    known = rows
    if Path(data).is_dir() and split != "train":
        known = read_rows(list_of(Path(data), "train"), multi_label)
    class_names = sorted({label for _, labels in known for label in labels})
    if len(class_names) < 2:
        raise ValueError(f"{path} has {len(class_names)} class; at least two classes are needed.")
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = []
    for file, names in rows:
        outside = [name for name in names if name not in numbers]
        if outside:
            raise ValueError(
                f"{path} gives {file} the label {outside[0]!r}, which is outside the "
                f"{len(numbers)} classes."
            )
        labels.append([numbers[name] for name in names])
    files = [file for file, _ in rows]
    check_files(path, path.parent, files)
    if multi_label:
        table = multi_hot(labels, len(class_names))
    else:
        table = np.array(labels, "int64").reshape(-1)
    return file_source(
        str(path),
        class_names,
        path.parent,
        files,
        table,
        channels=channels,
        multi_label=multi_label,
    )


def list_of(data, split):
    """The CSV file for a split."""
    if data.is_file():
        return data
    for name in names_of(split):
        if (data / f"{name}.csv").is_file():
            return data / f"{name}.csv"
    raise ValueError(f"{data} is neither a CSV file nor a folder with {split}.csv in it.")


def read_rows(path, multi_label):
    """`[(file, [labels])]` of a list."""
    rows = []
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        for row in reader:
            if not row or (reader.line_num == 1 and not row[0].lower().endswith(SUFFIXES)):
                continue
            labels = row[1].strip() if len(row) > 1 else ""
            if multi_label and len(row) > 1:
                names = [name.strip() for name in labels.split("|")]
                rows.append((row[0].strip(), [n for n in names if n not in ("", NONE)]))
            elif labels:
                rows.append((row[0].strip(), [labels]))
            else:
                raise ValueError(f"{path}, line {reader.line_num}, is not `file,label`: {row}")
    if not rows:
        raise ValueError(f"{path} lists no images; a row is `file,label`.")
    return rows


def check_files(path, images, files):
    """Finds out which files are missing, with one look into each folder.

    Raises:
        ValueError: any is.
    """
    listings: dict[Path, set[str]] = {}
    missing = []
    for file in files:
        place = images / file
        if place.parent not in listings:
            there = place.parent.is_dir()
            listings[place.parent] = set(os.listdir(place.parent)) if there else set()
        if place.name not in listings[place.parent]:
            missing.append(file)
    if missing:
        raise ValueError(
            f"{path} lists {len(missing)} files that are not in {images}, the first of them "
            f"{missing[0]}."
        )
