"""Images with boxes in VOC's XML: VOC's own folders, or XML beside the images."""

import math
from pathlib import Path
from xml.etree import ElementTree

from training.data.sources.dense import detection_source, objects_of
from training.data.sources.listing import PassedOver
from training.data.sources.mask_layout import by_stem, class_names_of, listed
from training.data.sources.photos import box_notes, check_there, clipped, known_sizes
from training.data.sources.splits import names_of, tenth
from training.data.sources.words import shown

MAX_BYTES = 2**24  # of an XML file; a photo with thousands of objects has a tenth of that


def open_voc(data, split):
    """Images and objects of VOC's XML files.

    `data` is a folder with one of

    - `JPEGImages`, `Annotations` and `ImageSets/Main/{train,val}.txt`, as VOC has it;
    - `train` and `val` with images and an XML file of the same name beside each;
    - images with XML beside them, or `JPEGImages` and `Annotations` alone. Of these, and where
      nothing is for validation, the first and then every tenth image is held out.

    The classes are the lines of `classes.txt`; without it the names in the XML of the part to learn
    from, sorted. Boxes count pixels from 1 and hold both ends, as VOC's do, and become xyxy from 0.
    An object that is `difficult` is given as a crowd: evaluation neither misses it nor counts what
    is found there as wrong, and nothing is learnt from it. The area is that of the box. Parts of an
    object (`part`) are passed over. An image without XML has no objects.

    Counted in the notes: boxes that reach out of their image, which are cut; those of no area or
    outside of it, inverted ones too, which are left out; images without XML; XML without an image.

    Args:
        data: a path.
        split: "train", "validation" or "test"; "all" for all images where nobody divided them.

    Returns:
        A `Source`, see `detection_source`. The category of a class is its label plus 1.

    Raises:
        ValueError: there are no such folders or no object, an image is missing, an XML file is
            damaged, larger than 16 MiB or has a DOCTYPE, an object's name is not among the classes
            or its box is not four finite numbers.

    Example:

    >>> open_voc("VOC2012", "train").info["class_names"][:2]
    ('aeroplane', 'bicycle')
    """
    data = Path(data)
    part, training, whole, notes = _choose(data, split)
    images = _Images(*part)
    read = {name: read_voc(path) for name, path in images.annotations.items()}
    known = read if part == training else _read_all(training)
    class_names = _class_names(data, known)
    found, more = _objects(images, read, class_names)
    chosen = tenth(images.files, split) if whole else images.files
    if not chosen:
        raise ValueError(f"{shown(images.folder)} holds no images for {split!r}; it has too few.")
    sizes = known_sizes(images.folder, images.folder, chosen, [_size(read, n) for n in chosen])
    kept, cut = _clipped(images.folder, [found[name] for name in chosen], sizes)
    return detection_source(
        f"{images.name} {split}" if whole else str(images.name),
        class_names,
        range(1, len(class_names) + 1),
        images.folder,
        chosen,
        sizes,
        objects_of(kept),
        max_objects=max(map(len, found.values())),
        notes=(*notes, *more, *cut),
    )


def _choose(data, split):
    """`(part, part to learn from, whether it is undivided, notes)`; for parts see `_part`."""
    names = names_of(split)
    if not data.is_dir():
        raise ValueError(f"{shown(data)} is not a folder; images with VOC's XML were expected.")
    part, training, held_out = (
        _part(data, some) for some in (names, names_of("train"), names_of("validation"))
    )
    if part is not None:
        alone = part == training and held_out is None
        return part, training or part, alone, ()
    if training is None:
        part = _undivided(data)
        return part, part, True, ()
    if split != "validation":
        raise ValueError(f"{shown(data)} has a part for training, but none for {split!r}.")
    note = f"{shown(data)} has no part for validation: a tenth of that for training is held out"
    return training, training, True, (note,)


def _part(data, names):
    """`(folder of images, folder of XML, list or None)` of a part, None if there is none."""
    for name in names:
        lister = data / "ImageSets" / "Main" / f"{name}.txt"
        if lister.is_file():
            return data / "JPEGImages", data / "Annotations", lister
        folder = data / name
        if (folder / "JPEGImages").is_dir() and (folder / "Annotations").is_dir():
            return folder / "JPEGImages", folder / "Annotations", None
        if folder.is_dir():
            return folder, folder, None
    return None


def _undivided(data):
    """The same of data that nobody divided."""
    for images, annotations in (("JPEGImages", "Annotations"), ("images", "annotations")):
        if (data / images).is_dir() and (data / annotations).is_dir():
            return data / images, data / annotations, None
    return data, data, None


class _Images:
    """The images of a part and where their XML lies.

    Attributes:
        folder: where the images are.
        name: the folder, or the list of names.
        files: paths within the folder.
        annotations: `{path of an image: path of its XML}`; some have none.
        alone: how many XML files belong to no image.
    """

    def __init__(self, folder, annotations, lister):
        for place in (folder, annotations):
            if not place.is_dir():
                raise ValueError(f"{shown(place)} is not a folder.")
        self.folder, self.name = folder, lister or folder
        stems = by_stem(folder, PassedOver())
        if lister is not None:
            wanted = listed(lister)
            check_there(lister, folder, [stems.get(stem, f"{stem}.jpg") for stem in wanted])
            stems = {stem: stems[stem] for stem in wanted}
        if not stems:
            raise ValueError(f"{shown(folder)} holds no images.")
        self.files = [stems[stem] for stem in sorted(stems)]
        there = {
            path.relative_to(annotations).with_suffix("").as_posix(): path
            for path in sorted(annotations.rglob("*.[xX][mM][lL]"))
        }
        self.annotations = {stems[stem]: there[stem] for stem in sorted(stems) if stem in there}
        self.alone = 0 if lister else len(there) - len(self.annotations)
        if not self.annotations:
            raise ValueError(
                f"{shown(annotations)} holds no XML file that is called as an image of "
                f"{shown(folder)}."
            )


def _read_all(part):
    return {name: read_voc(path) for name, path in _Images(*part).annotations.items()}


def read_voc(path):
    """Reads an XML file of VOC.

    Args:
        path: a `Path`.

    Returns:
        `((rows, columns) or None, [(name, box xyxy, difficult)])`.

    Raises:
        ValueError: as `open_voc`.

    Example:

    >>> read_voc(Path("Annotations/2007_000032.xml"))[0]
    (281, 500)
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{shown(path)} is too large for an XML file of VOC.")
        parser = ElementTree.XMLParser(target=_WithoutDoctype())
        parser.feed(path.read_bytes())
        root = parser.close()
    except OSError as error:
        raise ValueError(f"{shown(path)} cannot be opened: {error.strerror}.") from None
    except _DoctypeError:
        raise ValueError(f"{shown(path)} has a DOCTYPE, which VOC's files do not.") from None
    except (ElementTree.ParseError, LookupError, UnicodeError) as error:
        raise ValueError(f"{shown(path)} is no XML: {shown(error)}.") from None
    if root.tag != "annotation":
        raise ValueError(
            f"{shown(path)} is no XML file of VOC: it holds {shown(root.tag, 40)!r}, and "
            "'annotation' was expected."
        )
    sides = [_number(root.findtext(f"size/{side}")) for side in ("height", "width")]
    size = (
        tuple(map(int, sides)) if all(s and 1 <= s < 2**31 and s == int(s) for s in sides) else None
    )
    return size, [_object(path, number, item) for number, item in enumerate(root.findall("object"))]


class _DoctypeError(Exception):
    """A file declares entities or another document's type."""


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Builds a tree, but of no file with a DOCTYPE, where entities that grow are declared."""

    def doctype(self, *arguments):
        raise _DoctypeError


def _object(path, number, item):
    """`(name, box, difficult)` of an object; VOC's pixels count from 1 and both ends are inside."""
    name = (item.findtext("name") or "").strip()
    if not name:
        raise ValueError(f"{shown(path)}: object {number} has no name.")
    texts = [item.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    numbers = [_number(text) for text in texts]
    if None in numbers:
        raise ValueError(
            f"{shown(path)}: object {number} ({shown(name, 40)}) has no bndbox of four finite "
            f"numbers: xmin, ymin, xmax, ymax. Received: {shown(texts, 80)}"
        )
    x0, y0, x1, y1 = numbers
    difficult = (item.findtext("difficult") or "0").strip()
    if difficult not in ("0", "1"):
        raise ValueError(
            f"{shown(path)}: object {number} is difficult: {shown(difficult, 40)}; 0 or 1 was "
            "expected."
        )
    return name, (x0 - 1, y0 - 1, x1, y1), difficult == "1"


def _number(text):
    """A finite number, None if the text is none."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _class_names(data, read):
    """The names of the classes: those that `data` lists, or those in the XML."""
    names, _ = class_names_of(data)
    names = names or tuple(sorted({row[0] for _, rows in read.values() for row in rows}))
    if not names:
        raise ValueError(f"{shown(data)} has no object to learn from, and no classes.txt.")
    return names


def _objects(images, read, class_names):
    """`{image: [(box xyxy, label, crowd)]}`, and notes."""
    labels = {name: label for label, name in enumerate(class_names)}
    found: dict[str, list] = {name: [] for name in images.files}
    for image, (_, rows) in read.items():
        for name, box, difficult in rows:
            if name not in labels:
                raise ValueError(
                    f"{shown(images.annotations[image])} has the object {shown(name, 60)!r}, which "
                    f"is outside the {len(labels)} classes."
                )
            found[image].append((box, labels[name], difficult))
    bare = len(found) - len(read)
    notes: tuple[str, ...] = ()
    if bare:
        notes += (f"{shown(images.name)}: {bare:,} images without XML, taken to have no objects",)
    if images.alone:
        notes += (
            f"{shown(images.name)}: passed over: {images.alone:,} XML files without an image",
        )
    return found, notes


def _size(read, name):
    """The size that the XML of an image says."""
    return read[name][0] if name in read else None


def _clipped(name, objects, sizes):
    """`[[(box xyxy, label, crowd, area)]]` within the images, and notes."""
    counts, kept = {"cut": 0, "empty": 0}, []
    for rows, size in zip(objects, sizes, strict=True):
        boxes = [(clipped(box, size, counts), label, crowd) for box, label, crowd in rows]
        kept.append(
            [
                (box, label, crowd, (box[2] - box[0]) * (box[3] - box[1]))
                for box, label, crowd in boxes
                if box is not None
            ]
        )
    return kept, box_notes(shown(name), counts)
