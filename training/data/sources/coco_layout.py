"""Where the JSON file and the images of a part of a COCO data set lie."""

import dataclasses
from pathlib import Path

from training.data.sources.splits import names_of
from training.data.sources.words import shown, some_of

# Files that describe no objects, or not with boxes, and lie beside those that do.
OTHER = ("captions_", "stuff_", "panoptic_", "image_info_")
BOXES, KEYPOINTS = "instances_", "person_keypoints_"  # COCO's own files
ROBOFLOW = "_annotations.coco.json"


@dataclasses.dataclass(frozen=True)
class Found:
    """A part of a COCO data set.

    Attributes:
        file: the JSON file.
        folders: where the images may lie, best first.
        whole: whether the file has the images of all parts.
        notes: what to say of it.
    """

    file: Path
    folders: tuple
    whole: bool
    notes: tuple = ()


def find(data, split, shapes=""):
    """Where a part lies, see `open_coco`.

    Args:
        data: a `Path`.
        split: "train", "validation", "test" or "all".
        shapes: "keypoints" where the files of COCO that hold these are looked for.

    Returns:
        A `Found`.

    Raises:
        ValueError: there is no such file, or it is not clear which.

    Example:

    >>> find(Path("/coco"), "validation").file
    PosixPath('/coco/annotations/instances_val2017.json')
    """
    names = names_of(split)
    kinds = (KEYPOINTS, BOXES) if shapes == "keypoints" else (BOXES,)
    if data.is_file():
        return Found(data, _folders(data.parent, data, data.stem), whole=True)
    if not data.is_dir():
        raise ValueError(f"{shown(data)} is neither a folder nor a file of COCO's JSON.")
    for name in names:
        file = _of_part(data, name, kinds)
        if file is not None:
            return _part(data, file, name, kinds)
    training = next((f for name in names_of("train") if (f := _of_part(data, name, kinds))), None)
    if training is not None:
        if split != "validation":
            raise ValueError(f"{shown(data)} has {training.name}, but no JSON for {split!r}.")
        note = f"{shown(data)} has no JSON for validation: a tenth of {training.name} is held out"
        return Found(training, _folders(data, training, "train"), whole=True, notes=(note,))
    file = _single(data, split, kinds)
    return Found(file, _folders(data, file, file.stem), whole=True)


def _part(data, file, name, kinds):
    """The `Found` of a part; of training alone, a tenth is held out."""
    training = name in names_of("train")
    alone = training and not any(_of_part(data, other, kinds) for other in names_of("validation"))
    return Found(file, _folders(data, file, name), whole=alone)


def _of_part(data, name, kinds):
    """The file of a part, None if there is none; `kinds` are beginnings of names, best first."""
    for kind in kinds:
        own = [
            *sorted((data / "annotations").glob(f"{kind}{name}*.json")),
            *sorted(data.glob(f"{kind}{name}*.json")),
        ]
        there = [path for path in own if path.is_file()]
        if len(there) > 1:
            raise ValueError(
                f"{shown(data)} has several files for {name}: {some_of(p.name for p in there)}; "
                "leave one, or name it."
            )
        if there:
            return there[0]
    places = [
        *(data / f"{name}.json", data / "annotations" / f"{name}.json"),
        *(data / name / ROBOFLOW, data / name / "annotations.json"),
    ]
    return next((path for path in places if path.is_file()), None)


def _single(data, split, kinds):
    """The one file of a data set that nobody divided."""
    others = (*OTHER, *{BOXES, KEYPOINTS}.difference(kinds))
    for place in ("annotations.json", ROBOFLOW, "annotations/instances.json"):
        if (data / place).is_file():
            return data / place
    files = [
        path
        for pattern in ("*.json", "annotations/*.json")
        for path in sorted(data.glob(pattern))
        if not path.name.startswith(others) and path.is_file()
    ]
    if len(files) == 1:
        return files[0]
    found = f"has {some_of(path.name for path in files)}" if files else "has no JSON file"
    raise ValueError(
        f"{shown(data)} {found}; annotations/instances_{{train,val}}*.json, train.json and "
        f"val.json, or annotations.json was expected for {split!r}."
    )


def _folders(data, file, name):
    """Where images may lie, for a part called `name`."""
    year = file.stem.removeprefix(BOXES).removeprefix(KEYPOINTS)  # train2017
    return tuple(
        dict.fromkeys(
            folder
            for folder in (
                *(data / year, data / "images" / year, data / name, data / "images" / name),
                *(file.parent, file.parent / "images", data, data / "images"),
                *(data.parent / year, data.parent / "images" / year),
                *(data.parent / "images", data.parent),
            )
            if folder.is_dir()
        )
    )
