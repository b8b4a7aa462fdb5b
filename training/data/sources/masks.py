"""Images with a PNG of their size each, whose values are the classes of the pixels."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from training.data.sources.dense import Findings, segmentation_info
from training.data.sources.mask_layout import class_names_of, find, pairs_of
from training.data.sources.photos import header_of
from training.data.sources.source import Source, reader_of, shuffled_range
from training.data.sources.words import class_summary, shown

NONE = 255  # the value of pixels of no class
MODES = ("1", "L", "P", "I", "I;16", "I;16B")  # of Pillow, that hold one value a pixel


def open_masks(data, split, *, zero_is_none=None):
    """Images with masks.

    `data` is a folder with one of

    - `images/{train,val}` and `masks/{train,val}`, or `{train,val}/images` and `.../masks`;
    - `images/{training,validation}` and `annotations/{training,validation}`, as ADE20K has it,
      where 0 stands for no class;
    - `JPEGImages`, `SegmentationClass` and `ImageSets/Segmentation/{train,val}.txt`, as VOC has it;
    - `images` and `masks`. Of these, and where nothing is for validation, the first and then every
      tenth image is held out.

    The mask of `images/train/a/b.jpg` is `masks/train/a/b.png`, a palette or grey PNG. Its values
    are classes from 0, and 255 stands for none. The names of the classes are the lines of
    `classes.txt`; without it they are numbers, as many as the masks to learn from have, all of
    which are read to find out.

    Args:
        data: a path.
        split: "train", "validation" or "test"; "all" for all images where nobody divided them.
        zero_is_none: whether 0 stands for no class, and 1 for the first; as laid out if None.

    Returns:
        A `Source`; its examples are {"image": string (), "mask": uint8 (H, W), 255 for no class}.

    Raises:
        ValueError: there are no such folders, an image has no mask, a mask is in colours, cannot
            be opened, or has another size than its image; the names of classes are wrong.
        tf.errors.InvalidArgumentError: when run, naming it, on a mask that is damaged or has a
            value outside the classes; that ends a run.

    Example:

    >>> open_masks("/ade20k", "train").info["class_names"][:2]
    ('wall', 'building')
    """
    data = Path(data)
    part = find(data, split)
    pairs, notes = pairs_of(part, split)
    images, masks = (
        [os.path.join(folder, pair[side]) for pair in pairs]
        for side, folder in enumerate((part.images, part.masks))
    )
    sizes = [_checked_sides(image, mask) for image, mask in zip(images, masks, strict=True)]
    zero = part.ade20k if zero_is_none is None else zero_is_none
    class_names, _ = class_names_of(data)
    if class_names is None:
        class_names, note = _numbered(data, zero)
        notes += (note,)
    name = f"{part.images} {split}" if part.whole else str(part.lister or part.images)
    return mask_source(
        name, class_names, images, masks, zero_is_none=zero, notes=notes, sizes=sizes
    )


def mask_source(name, class_names, images, masks, *, zero_is_none=False, notes=(), sizes=None):
    """A source of image files with a mask file each.

    Args:
        name: what to call it.
        class_names: one string a class.
        images: paths of images.
        masks: paths of their masks, PNGs of one value a pixel.
        zero_is_none: whether 0 stands for no class, and 1 for the first.
        notes: see `Source`.
        sizes: rows and columns of each image, if known.

    Returns:
        A `Source`, see `open_masks`.
    """
    names = tf.constant([os.fsencode(path) for path in images])
    files = tf.constant([os.fsencode(path) for path in masks])
    found, classes = Findings(), len(class_names)

    def name_of(index):
        return tf.gather(names, index)

    read_image = reader_of(images, name_of)

    def read(index, file):
        return classed(read_mask(os.fsdecode(file)), os.fsdecode(file), classes, zero_is_none)

    def example_of(index):
        mask = found.call(read, tf.uint8, index, tf.gather(files, index))
        return {"image": read_image(index), "mask": tf.ensure_shape(mask, (None, None))}

    return Source(
        name=name,
        info=segmentation_info(class_names),
        count=len(images),
        records=lambda epoch_seed: shuffled_range(len(images), epoch_seed),
        example_of=example_of,
        key_of=lambda index: {"index": index, "name": found.insist_none(name_of(index), index)},
        summary=class_summary(class_names),
        notes=tuple(notes),
        sizes=None if sizes is None else np.array(sizes, "int32").reshape(-1, 2),
    )


def read_mask(path):
    """The values of a palette or grey PNG.

    A palette's values are its indices: TensorFlow's decoder would give their colours.

    Args:
        path: a string.

    Returns:
        Integers (H, W).

    Raises:
        ValueError: it cannot be read, or holds colours.

    Example:

    >>> np.unique(read_mask("masks/train/1.png"))
    array([  0,   3, 255], dtype=uint8)
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            values = np.asarray(image)
    except Exception:  # Pillow raises almost anything on a damaged file
        raise ValueError(
            f"{shown(path)} cannot be read as a mask: it is missing, damaged, cut short or no PNG."
        ) from None
    if values.ndim != 2:
        raise ValueError(_colours(path, image.mode))
    return values.astype("uint8") if values.dtype == bool else values


def classed(values, path, classes, zero_is_none):
    """The classes of a mask's values.

    Args:
        values: integers (H, W).
        path: of the mask, for the error.
        classes: how many there are.
        zero_is_none: whether 0 stands for no class, and 1 for the first.

    Returns:
        uint8 (H, W), 255 for no class.

    Raises:
        ValueError: a value stands for no class.

    Example:

    >>> classed(np.array([[0, 1, 255]]), "1.png", classes=1, zero_is_none=True)
    array([[255,   0, 255]], dtype=uint8)
    """
    first = int(zero_is_none)
    wrong = (values < 0) | ((values >= classes + first) & (values != NONE))
    if wrong.any():
        raise ValueError(
            f"{shown(path)} has the value {int(values[wrong][0])}, outside the {classes} classes; "
            f"values are {first} to {classes + first - 1}, and 255"
            f"{' or 0' if zero_is_none else ''} for pixels of no class."
        )
    if not zero_is_none:
        return values.astype("uint8")
    return np.where((values == 0) | (values == NONE), NONE, values.astype("int64") - 1).astype(
        "uint8"
    )


def _checked_sides(image, mask):
    """Rows and columns of a mask, or a `ValueError` where it is none of its image.

    Damaged images are left alone.
    """
    own, photo = header_of(mask), header_of(image)
    if own is None:
        raise ValueError(f"{shown(mask)} cannot be read as a mask: it is damaged or no PNG.")
    if own[2] not in MODES:
        raise ValueError(_colours(mask, own[2]))
    if photo is not None and photo[:2] != own[:2]:
        raise ValueError(
            f"{shown(mask)} has {own[1]}x{own[0]} pixels, but its image {shown(image)} has "
            f"{photo[1]}x{photo[0]}; a mask must have the size of its image."
        )
    return own[:2]


def _colours(path, mode):
    return (
        f"{shown(path)} is a PNG of colours ({mode}); a mask must be a palette or grey PNG, whose "
        "values are classes."
    )


def _numbered(data, zero_is_none):
    """Numbers as the names of classes, as many as the masks to learn from have; and a note."""
    part = find(data, "train")
    pairs, _ = pairs_of(part, "all" if part.whole else "train")
    highest = 0
    for _, mask in pairs:
        values = read_mask(os.path.join(part.masks, mask))
        values = values[(values != NONE) & (values >= 0)]
        highest = max(highest, int(values.max(initial=0)))
    classes = min(highest, NONE - 1) + (0 if zero_is_none else 1)
    if not classes:
        raise ValueError(f"{shown(part.masks)} holds no class: all values are 0 or 255.")
    note = f"{shown(data)} has no classes.txt: {classes} classes, named by the values of its masks"
    return tuple(str(number + int(zero_is_none)) for number in range(classes)), note
