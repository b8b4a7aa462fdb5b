"""Where the images, the masks and the names of classes of a part lie."""

import collections
import dataclasses
import os
from pathlib import Path

from training.data.sources.listing import PassedOver, images_below
from training.data.sources.splits import names_of, tenth
from training.data.sources.words import shown

NAMES = ("classes.txt", "class_names.txt", "objectInfo150.txt")
VOC_MASKS = ("SegmentationClassPNG", "SegmentationClass")
EXPECTED = (
    "images/{train,val} with masks/{train,val}, images/{training,validation} with "
    "annotations/{training,validation}, or JPEGImages with SegmentationClass"
)


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a set of images with masks.

    Attributes:
        images: the folder of the images.
        masks: the folder of the masks.
        lister: optional, the file that lists the names of those that are meant.
        whole: whether these are the images of all parts, of which a tenth is held out.
        ade20k: whether it is laid out as ADE20K is.
        notes: what to say of it.
    """

    images: Path
    masks: Path
    lister: Path | None = None
    whole: bool = False
    ade20k: bool = False
    notes: tuple = ()


def find(data, split):
    """Where a part lies, see `open_masks`.

    Args:
        data: a `Path`.
        split: "train", "validation", "test" or "all".

    Returns:
        A `Part`.

    Raises:
        ValueError: there is none.

    Example:

    >>> find(Path("/ade20k"), "train").masks
    PosixPath('/ade20k/annotations/training')
    """
    names = names_of(split)
    if not data.is_dir():
        raise ValueError(f"{shown(data)} is not a folder; {EXPECTED} was expected in it.")
    training = _part(data, names_of("train"))
    part = _part(data, names)
    if split == "validation" and part is None and training is not None:
        note = f"{shown(data)} has no part for validation: a tenth of that for training is held out"
        return dataclasses.replace(training, whole=True, notes=(note,))
    if part is not None:
        alone = split == "train" and _part(data, names_of("validation")) is None
        return dataclasses.replace(part, whole=alone)
    if training is None:
        for images, masks in (("images", ("masks", "annotations")), ("JPEGImages", VOC_MASKS)):
            for name in masks:
                if (data / images).is_dir() and (data / name).is_dir():
                    return Part(data / images, data / name, whole=True)
    raise ValueError(
        f"{shown(data)} has no images with masks for {split!r}; {EXPECTED} was expected."
    )


def _part(data, names):
    """The `Part` that one of `names` means, None if there is none."""
    for name in names:
        for images, masks in (
            (f"images/{name}", f"masks/{name}"),
            (f"images/{name}", f"annotations/{name}"),
            (f"{name}/images", f"{name}/masks"),
        ):
            if (data / images).is_dir() and (data / masks).is_dir():
                return Part(data / images, data / masks, ade20k=masks.startswith("annotations"))
        lister = data / "ImageSets" / "Segmentation" / f"{name}.txt"
        for masks in VOC_MASKS:
            if lister.is_file() and (data / masks).is_dir():
                return Part(data / "JPEGImages", data / masks, lister)
    return None


def pairs_of(part, split):
    """The images of a part and their masks.

    Args:
        part: a `Part`.
        split: as for `find`; of a part that is `whole`, its own images.

    Returns:
        `([(image, mask)], notes)`: paths within the two folders.

    Raises:
        ValueError: there are none, an image has no mask, or two images have one.

    Example:

    >>> pairs_of(find(Path("/ade20k"), "train"), "train")[0][0]
    ('ADE_train_00000001.jpg', 'ADE_train_00000001.png')
    """
    passed = PassedOver()
    images, masks = by_stem(part.images, passed), by_stem(part.masks, passed, (".png",))
    stems = sorted(images) if part.lister is None else listed(part.lister)
    missing = [stem for stem in stems if stem not in images]
    if missing:
        raise ValueError(
            f"{shown(part.lister)} lists {len(missing):,} images that are not in "
            f"{shown(part.images)}, the first of them {shown(missing[0])}."
        )
    bare = [stem for stem in stems if stem not in masks]
    if bare:
        raise ValueError(
            f"{len(bare):,} of the {len(stems):,} images of {shown(part.images)} have no mask, a "
            f"PNG of the same name in {shown(part.masks)}; the first of them is "
            f"{shown(images[bare[0]])}."
        )
    notes = (*part.notes, *passed.notes())
    alone = len(masks) - len(stems)
    if alone and part.lister is None:
        notes += (f"passed over: {alone:,} masks in {shown(part.masks)} that belong to no image",)
    chosen = tenth(stems, split) if part.whole else stems
    if not chosen:
        raise ValueError(
            f"{shown(part.images)} holds no images for {split!r}; there are {len(stems)}."
        )
    return [(images[stem], masks[stem]) for stem in chosen], notes


def by_stem(folder, passed, endings=()):
    """`{path without its ending: path}` of the images below a folder."""
    found: dict[str, str] = {}
    for path in images_below(folder, passed, {}):
        stem, ending = os.path.splitext(path)
        if endings and ending.lower() not in endings:
            passed.file(os.path.join(folder, path))
            continue
        if stem in found:
            raise ValueError(
                f"{shown(folder)} has two images of one name, {shown(found[stem])} and "
                f"{shown(path)}; remove one."
            )
        found[stem] = path
    return found


def listed(lister):
    """The names in a list of VOC, the first word of each line.

    Raises:
        ValueError: the file is no text, or lists one twice or nothing.

    Example:

    >>> listed(Path("ImageSets/Segmentation/train.txt"))[0]
    '2007_000032'
    """
    names = [line.split()[0] for line in lines_of(lister)]
    [(name, count)] = collections.Counter(names).most_common(1) or [("", 0)]
    if count != 1:
        what = f"{shown(name)} twice" if names else "no images"
        raise ValueError(f"{shown(lister)} lists {what}.")
    return names


def lines_of(path):
    """The lines of a text file in UTF-8 that are not blank, without the space around them."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise ValueError(f"{shown(path)} cannot be opened: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{shown(path)} must be text in UTF-8.") from None
    return [line.strip() for line in lines if line.strip()]


def class_names_of(data):
    """The names of the classes of a data set, if it says them.

    Args:
        data: a `Path`. One of `NAMES` in it has a class a line; `objectInfo150.txt` is ADE20K's.

    Returns:
        `(names, path)`, or `(None, None)`.

    Raises:
        ValueError: a name is there twice, or there are more than 255.

    Example:

    >>> class_names_of(Path("/ade20k"))[0][:2]
    ('wall', 'building')
    """
    path = next((data / name for name in NAMES if (data / name).is_file()), None)
    if path is None:
        return None, None
    names = lines_of(path)
    if path.name == NAMES[-1]:  # a table with a heading; a name and its other words come last
        names = [line.split("\t")[-1].split(";")[0].split(",")[0].strip() for line in names[1:]]
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice or not 0 < len(names) <= 255:
        what = f"{shown(twice[0], 60)!r} twice" if twice else f"{len(names):,} classes"
        raise ValueError(
            f"{shown(path)} has {what}; 1 to 255 classes of different names are needed."
        )
    return tuple(names), path
