"""Images in folders, one folder a class."""

from pathlib import Path

import numpy as np

from training.data.sources.source import file_source
from training.data.sources.splits import names_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
HELD_OUT = 10  # every tenth image of a class, where the folder is not split


def open_folder(folder, split, *, channels=3):
    """The images below `folder`, named by the folder they lie in.

    Either `folder/train/CLASS/...` and `folder/validation/CLASS/...` ("val" and "test" will do),
    or `folder/CLASS/...`; in the latter case the first and then every tenth image of each
    class, by name, is held out for validation. Classes are those of the training part, sorted.

    Args:
        folder: a path.
        split: "train" or "validation"; "test" means the same as the latter unless both exist.
        channels: 3 or 1.

    Returns:
        A `Source`.

    Raises:
        ValueError: there is no such folder, no image in it, fewer than two classes, or a class
            that the training part does not have.

    Example:

    >>> open_folder("flowers", "train").info["class_names"]
    ('daisy', 'rose')
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; a folder with one folder a class was expected")
    here = split_folder(folder, split)
    whole = here is None
    here = folder if whole else here
    training = split_folder(folder, "train") or here
    class_names = [name for name, _ in classes_of(training)]
    if len(class_names) < 2:
        only = f" ({class_names[0]})" if class_names else ""
        raise ValueError(
            f"{training} has {len(class_names)} folders with images{only}; at least two classes "
            "are needed, a folder for each."
        )
    files, labels = [], []
    for label, paths in labelled(here, training, class_names):
        if whole:
            paths = [p for i, p in enumerate(paths) if (i % HELD_OUT == 0) != (split == "train")]
        files += paths
        labels += [label] * len(paths)
    if not files:
        raise ValueError(
            f"{here} holds no images for {split!r}; files ending in {', '.join(SUFFIXES)} count."
        )
    return file_source(
        str(here), class_names, here, files, np.array(labels, "int64"), channels=channels
    )


def labelled(folder, training, class_names):
    """`(label, [paths within folder])` of each folder in `folder` with images, sorted.

    Raises:
        ValueError: one is not named by a class; the message says that classes are those of
            the folder `training`.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    for name, paths in classes_of(folder):
        if name not in numbers:
            raise ValueError(
                f"{folder / name} is a label outside the {len(numbers)} classes, which are those "
                f"of {training}."
            )
        yield numbers[name], paths


def split_folder(folder, split):
    """The part of `folder` for a split, None if it is not split so."""
    for name in names_of(split):
        if (folder / name).is_dir():
            return folder / name
    if any((folder / name).is_dir() for name in names_of("train")):
        raise ValueError(f"{folder} has a folder for training, but none for {split!r}.")
    return None


def classes_of(folder):
    """`(class, [paths within folder])` of each folder in `folder` with images, sorted."""
    found = []
    for inside in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        paths = sorted(
            path.relative_to(folder).as_posix()
            for path in inside.rglob("*")
            if path.suffix.lower() in SUFFIXES and path.name[0] != "."
        )
        if paths:
            found.append((inside.name, paths))
    return found
