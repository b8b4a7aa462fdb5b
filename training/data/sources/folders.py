"""Images in folders, one folder a class."""

from pathlib import Path

import numpy as np

from training.data.sources.formats import KNOWN, SUFFIXES
from training.data.sources.layout import AS_CLASSES, layout_of
from training.data.sources.listing import (
    PassedOver,
    entries,
    identity,
    images_below,
    is_folder,
)
from training.data.sources.source import file_source
from training.data.sources.splits import tenth
from training.data.sources.words import shown, some_of


def open_folder(folder, split, *, channels=3, splits=True):
    """The images below `folder`, named by the folder they lie in.

    Either `folder/train/CLASS/...` and `folder/validation/CLASS/...` ("training", "val", "valid"
    and "test" will do, in large or small letters), or `folder/CLASS/...`; in the latter case the
    first and then every tenth image of each class, by name, is held out for validation, unless it
    is the only one. Classes are those of the part to learn from, sorted.

    A `test` without any of the classes, as competitions have it, is passed over; without a part
    for validation, a tenth of the part to learn from is held out. Links to folders are followed,
    what is hidden is passed over.

    Args:
        folder: a path.
        split: "train" or "validation"; "test" means the same as the latter unless both exist;
            "all" is all images of a folder that is not divided.
        channels: 3 or 1.
        splits: whether folders called train, val or test are parts rather than classes.

    Returns:
        A `Source`; its notes say what was passed over.

    Raises:
        ValueError: there is no such folder, no image in it, fewer than two classes, a class that
            the training part does not have or that belongs to two classes, one whose photos are
            all of formats that are not read, a folder that cannot be opened or is not clear.

    Example:

    >>> open_folder("flowers", "train").info["class_names"]
    ('daisy', 'rose')
    """
    layout = layout_of(Path(folder), split, splits)
    passed = PassedOver()
    classes = classes_of(layout.training, passed)
    class_names = [name for name, _ in classes]
    _check_two(class_names, layout, Path(folder))
    if layout.here != layout.training:
        passed = PassedOver()
        classes = classes_of(layout.here, passed)
    files, labels = [], []
    for label, paths in labelled(layout, split, classes, class_names):
        files += paths
        labels += [label] * len(paths)
    if not files:
        raise ValueError(
            f"{shown(layout.here)} holds no images for {split!r}; files ending in "
            f"{', '.join(SUFFIXES)} in one folder a class count."
        )
    single = [name for name, paths in classes if len(paths) == 1] if layout.whole else []
    notes = (*layout.notes, *single_notes(single), *passed.notes())
    return file_source(
        str(layout.here),
        class_names,
        layout.here,
        files,
        np.array(labels, "int64"),
        channels=channels,
        notes=notes,
    )


def _check_two(class_names, layout, folder):
    """Raises a `ValueError` if there are fewer than two classes."""
    if len(class_names) >= 2:
        return
    only = f" ({shown(class_names[0])})" if class_names else ""
    taken = f"; it was taken for the part to learn from, and {AS_CLASSES}"
    raise ValueError(
        f"{shown(layout.training)} has {len(class_names)} folders with images{only}; at least two "
        f"classes are needed, a folder for each{taken if layout.training != folder else ''}."
    )


def single_notes(class_names):
    """What to say of classes with one image, of which none is held out: a tuple of strings."""
    if not class_names:
        return ()
    return (f"the only image is learnt from, and none is held out: {some_of(class_names)}",)


def labelled(layout, split, classes, class_names):
    """`(label, [paths])` of the part `split` of `classes_of` a folder.

    Raises:
        ValueError: one is not named by a class; the message says whose the classes are.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    for name, paths in classes:
        if name not in numbers:
            raise ValueError(
                f"{shown(layout.here / name)} is a label outside the {len(numbers)} classes, which "
                f"are those of {shown(layout.training)}."
            )
        yield numbers[name], tenth(paths, split) if layout.whole else paths


def classes_of(folder, passed):
    """The folders in a folder that have images.

    Args:
        folder: a `Path`.
        passed: a `PassedOver`, told of what is no image or of no class.

    Returns:
        `[(class, [paths within folder])]`, sorted.

    Raises:
        ValueError: a folder cannot be opened, belongs to two classes, has a name that is no text,
            or has only photos of formats that are not read.
    """
    found, seen = [], {identity(folder): (None, str(folder))}
    for entry in entries(folder):
        if not is_folder(entry):
            passed.file(entry.path)
            continue
        own = PassedOver()
        paths = images_below(entry.path, own, seen, f"{entry.name}/")
        if not paths and own.photos():
            raise ValueError(
                f"{shown(entry.path)} has no image that is read, but {own.photos()}: convert them "
                f"to {KNOWN}, or move the folder away."
            )
        passed.add(own)
        if not paths:
            if not own.folders:
                passed.folder(entry.path, "which holds no images")
            continue
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{shown(entry.path)} must be named in UTF-8, as a class is; name it again."
            ) from None
        found.append((entry.name, paths))
    return found
