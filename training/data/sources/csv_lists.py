"""Images that a CSV file lists with their labels."""

from pathlib import Path

import numpy as np

from training.data.sources.csv_rows import read_list
from training.data.sources.folders import single_notes
from training.data.sources.source import file_source, multi_hot
from training.data.sources.splits import PARTS, names_of, tenth
from training.data.sources.words import shown


def open_csv(data, split, *, channels=3, multi_label=False):
    """The images of a list, such as ImageNet-21k's or ChestX-ray8's.

    A row is `file,label`, further columns are passed over; a first row whose file does not exist
    and is not called as an image is a heading. With `multi_label` a label is any number of classes
    with `|` between them, and "No Finding" or nothing stands for none. Files are named from the
    folder of the list; the classes are those of the training list, sorted.

    Of a single list the first and then every tenth image of each class is held out for
    validation, unless it is the only one; with `multi_label` the first and every tenth row.

    Args:
        data: a CSV file, or a folder with `train.csv` and `validation.csv` (or `test.csv`).
        split: "train", "validation" or "test"; "all" is the whole of a single list.
        channels: 3 or 1.
        multi_label: whether an image may have any number of classes.

    Returns:
        A `Source`; its notes say what was passed over.

    Raises:
        ValueError: the list or an image in it is missing, the list is no CSV, a row is incomplete,
            a label is not among the classes, an image has two of them, or there are fewer than two
            classes.

    Example:

    >>> open_csv("chest", "train", multi_label=True).info["class_names"][:2]
    ('Atelectasis', 'Cardiomegaly')
    """
    path = list_of(Path(data), split)
    listed = known = read_list(path, multi_label)
    notes, whole = listed.notes, not Path(data).is_dir()
    if not whole and split != "train":
        known = read_list(list_of(Path(data), "train"), multi_label)
        notes += _held_out_notes(path, split, listed, known)
    class_names = sorted({label for labels in known.rows.values() for label in labels})
    if len(class_names) < 2:
        raise ValueError(
            f"{shown(path)} has {len(class_names)} class; at least two classes are needed."
        )
    rows = _numbered(path, listed.rows, class_names)
    if whole:
        rows, more = _part(rows, split, class_names, multi_label)
        notes += more
    if not rows:
        raise ValueError(f"{shown(path)} holds no images for {split!r}; it lists too few.")
    labels = [numbers for _, numbers in rows]
    return file_source(
        str(path),
        class_names,
        path.parent,
        [file for file, _ in rows],
        multi_hot(labels, len(class_names)) if multi_label else np.array(labels, "int64")[:, 0],
        channels=channels,
        multi_label=multi_label,
        notes=notes,
    )


def list_of(data, split):
    """The CSV file for a split; the names of files in a folder may have capitals."""
    if data.is_file():
        return data
    if data.is_dir():
        there = {path.name.lower(): path for path in sorted(data.glob("*.[cC][sS][vV]"))}
        for name in names_of(split):
            if f"{name}.csv" in there:
                return there[f"{name}.csv"]
    raise ValueError(f"{shown(data)} is neither a CSV file nor a folder with {split}.csv in it.")


def _numbered(path, rows, class_names):
    """`[(file, [numbers of classes])]` of rows.

    Raises:
        ValueError: a label is not among the classes.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    for file, names in rows.items():
        for name in names:
            if name not in numbers:
                raise ValueError(
                    f"{shown(path)} gives {shown(file)} the label {shown(name)!r}, which is "
                    f"outside the {len(numbers)} classes."
                )
    return [(file, [numbers[name] for name in names]) for file, names in rows.items()]


def _part(rows, split, class_names, multi_label):
    """The rows of a part of a single list, in their order; and what to say of them."""
    if multi_label:
        return tenth(rows, split), ()
    of_class: list[list[int]] = [[] for _ in class_names]
    for place, (_, (label,)) in enumerate(rows):
        of_class[label].append(place)
    places = sorted(place for some in of_class for place in tenth(some, split))
    single = [name for name, some in zip(class_names, of_class, strict=True) if len(some) == 1]
    return [rows[place] for place in places], single_notes(single)


def _held_out_notes(path, split, listed, known):
    """What to say of a list that is held out: it is another part's, or is learnt from as well."""
    notes: tuple[str, ...] = ()
    if PARTS[path.stem.lower()] != split:
        notes += (f"{shown(path.parent)} has no list for {split}: {path.name} is held out",)
    both = [file for file in listed.rows if file in known.rows]
    if both:
        notes += (
            f"{len(both):,} of the {len(listed.rows):,} images of {shown(path)} are learnt from as "
            f"well, the first of them {shown(both[0])}",
        )
    return notes
