"""How a folder of images is laid out: divided into parts, or one folder a class."""

import dataclasses
from pathlib import Path

from training.data.sources.listing import (
    PassedOver,
    entries,
    folders_in,
    identity,
    images_below,
    is_folder,
)
from training.data.sources.splits import PARTS, names_of
from training.data.sources.words import shown

MOST_NOTES = 8
AS_CLASSES = "--set data.splits=false makes a class of every folder"


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the images of a part lie.

    Attributes:
        here: the folder with one folder a class.
        training: the same of the part to learn from, which names the classes.
        whole: whether `here` has the images of all parts, of which a tenth is held out.
        notes: what to say of it, strings.
    """

    here: Path
    training: Path
    whole: bool
    notes: tuple[str, ...] = ()


def layout_of(folder, split, splits=True):
    """Where the images of a part of `folder` lie.

    Args:
        folder: a `Path`.
        split: "train", "validation", "test" or "all".
        splits: whether folders called train, validation, test and the like, in large or small
            letters, are parts of the data; else they are classes.

    Returns:
        A `Layout`.

    Raises:
        ValueError: a folder cannot be opened, a part is missing or is there twice, or it is not
            clear whether a folder is a part or a class.

    Example:

    >>> layout_of(Path("flowers"), "train").here
    PosixPath('flowers/Train')
    """
    folders = folders_in(folder)
    parts = _parts(folder, folders) if splits else {}
    if not parts:
        return Layout(folder, folder, whole=True)
    others = [path for path in folders if path not in parts.values()]
    if "train" not in parts:
        return _without_training(folder, split, parts, others)
    train, unlabelled = parts["train"], _unlabelled_test(parts)
    whole = bool(unlabelled) and "validation" not in parts
    beside = _with_images(others)
    if whole and beside:
        raise ValueError(
            f"{shown(folder)} has {train.name} for the part to learn from, none to hold out, and "
            f"folders with images beside them, such as {shown(beside[0][0].name)}; {AS_CLASSES}."
        )
    here = _part_for(split, parts, unlabelled)
    if here is None and whole and split == "validation":
        here = train
    if here is None:
        raise ValueError(
            f"{shown(folder)} has a folder for training, but none for {split!r}; with --data "
            f"{shown(train)} a tenth of it is held out, and {AS_CLASSES}."
        )
    return Layout(here, train, whole, _notes(folder, parts, unlabelled, beside))


def _notes(folder, parts, unlabelled, beside):
    """What to say of a folder that is divided."""
    train, notes = parts["train"].name, []
    if "validation" not in parts and "test" in parts:
        held_out = f"a tenth of {train}" if unlabelled else parts["test"].name
        notes.append(f"{shown(folder)} has no folder for validation: {held_out} is held out")
    for path, count in _with_images(unlabelled):
        notes.append(f"passed over: {shown(path)}, {count:,} images without a folder a class")
    for path, count in beside:
        notes.append(
            f"passed over: {shown(path)}, {count:,} images, as {train} was taken for the part to "
            f"learn from: {AS_CLASSES}"
        )
    return tuple(notes[:MOST_NOTES])


def _parts(folder, folders):
    """The folders that are parts, a dict by the names in `PARTS`' values."""
    parts: dict[str, Path] = {}
    for path in folders:
        part = PARTS.get(path.name.lower())
        if part in parts:
            raise ValueError(
                f"{shown(folder)} has two folders for {part}, {parts[part].name} and {path.name}; "
                f"remove one, or {AS_CLASSES}."
            )
        if part:
            parts[part] = path
    seen: dict[tuple, Path] = {}
    for path in parts.values():
        twin = seen.setdefault(identity(path), path)
        if twin != path:
            raise ValueError(
                f"{shown(path)} and {shown(twin)} are the same folder; what is held out must not "
                "be learnt from."
            )
    return parts


def _without_training(folder, split, parts, others):
    """The layout where a folder is called as a part to hold out, and none as one to learn from."""
    name = next(iter(parts.values())).name
    if _with_images(others):
        raise ValueError(
            f"{shown(folder)} has {name}, which is taken for a part to hold out, but no folder "
            f"called train; {AS_CLASSES}."
        )
    here = _part_for(split, parts, ())
    if here is None:
        raise ValueError(
            f"{shown(folder)} has {name}, which is taken for a part to hold out, but none for "
            f"{split!r}; {AS_CLASSES}."
        )
    return Layout(here, here, whole=False)


def _part_for(split, parts, unlabelled):
    """The folder of a part, None where there is none."""
    if split == "test" and unlabelled:
        raise ValueError(
            f"{shown(unlabelled[0])} has no folder that is called as a class of "
            f"{shown(parts['train'])}, so its images have no labels and cannot be evaluated."
        )
    for name in names_of(split):
        path = parts.get(PARTS[name])
        if path is not None and path not in unlabelled:
            return path
    return None


def _unlabelled_test(parts):
    """`[the folder for tests]` if none of its folders is called as a class, as in competitions."""
    if "test" not in parts:
        return []
    classes, inside = (
        {entry.name for entry in entries(parts[part]) if is_folder(entry)}
        for part in ("train", "test")
    )
    return [] if classes & inside else [parts["test"]]


def _with_images(folders):
    """`[(folder, how many images are below it)]` of those that have any."""
    counted = [(path, len(images_below(path, PassedOver(), {}))) for path in folders]
    return [(path, count) for path, count in counted if count]
