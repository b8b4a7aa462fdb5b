"""Images with boxes in COCO's JSON: COCO's own folders, those of other tools, a single file."""

import dataclasses
import json
import math
import os
from pathlib import Path

from training.data.sources.coco_layout import find
from training.data.sources.coco_shapes import reader_of
from training.data.sources.dense import detection_source, objects_of
from training.data.sources.instance_masks import MASK_SIZE
from training.data.sources.photos import box_notes, check_there, clipped, known_sizes
from training.data.sources.splits import tenth
from training.data.sources.words import shown

LARGEST_ID = 2**53  # what every reader of JSON keeps


def open_coco(data, split, *, images=None, shapes="", mask_size=MASK_SIZE):
    """Images and objects of a COCO file.

    `data` is a file, or a folder with one of

    - `annotations/instances_{train,val}*.json`, the images in `train*/` and `val*/`, as COCO has;
    - `train.json` and `val.json`, in it or in `annotations/`, or, as Roboflow has it,
      `train/_annotations.coco.json` and the like with the images beside it;
    - `annotations.json`, `_annotations.coco.json` or one other JSON file. Of such a file, and
      where none is for validation, the first and then every tenth image is held out.

    Categories in the order of their ids are the labels from 0. Images without objects and crowds
    (`iscrowd`) are kept. The area is `area`; that of the box where it is missing or 0. An
    annotation's own id is not used: it may be 0 or missing.

    Counted in the notes: boxes that reach out of their image, which are cut; boxes of no area or
    outside of it, inverted ones too, and annotations of images that are not listed, which are
    left out. With masks also polygons of fewer than three points and objects without others, which
    are left out; with keypoints those outside of their image, which count as not labelled.

    Args:
        data: a path.
        split: "train", "validation" or "test"; "all" for the whole of a single file.
        images: optional folder of the images; else they are looked for beside the file, and
            in the folders that are called as a part.
        shapes: "masks" or "keypoints", what else examples hold, see `Masks` and `Keypoints`. For
            keypoints `person_keypoints_{train,val}*.json` goes before `instances_`.
        mask_size: int, places a side of a mask.

    Returns:
        A `Source`, see `detection_source`; its info has also that of `named_info` with keypoints.

    Raises:
        ValueError: there is no such file; it is no JSON or no COCO file, such as one without
            categories; an id is there twice or missing; an object's category is not listed or its
            box is not four finite numbers; an image file is missing; a mask or keypoints are
            wrong, such as run lengths of another size than the image.

    Example:

    >>> open_coco("/coco", "train").info["category_ids"][:3]
    (1, 2, 3)
    """
    reader = reader_of(shapes, mask_size)
    found = find(Path(data), split, shapes)
    coco = read_coco(found.file, reader)
    folder = _photos(found, coco, images)
    objects, kept, notes = _objects(coco, reader)
    places = tenth(range(len(coco.files)), split) if found.whole else range(len(coco.files))
    if not places:
        raise ValueError(
            f"{shown(found.file)} holds no images for {split!r}; it lists {len(coco.files)}."
        )
    name = f"{found.file} {split}" if found.whole else str(found.file)
    notes = (*found.notes, *notes)
    return _source(name, coco, folder, objects, kept, places, reader, notes)


def _source(name, coco, folder, objects, kept, places, reader, notes):
    """The `Source` of the images at some places of a file."""
    chosen = objects_of([objects[place] for place in places])
    sizes = [coco.sizes[place] for place in places]
    shapes = [shape for place in places for shape in kept[place]]
    source = detection_source(
        name,
        coco.class_names,
        coco.category_ids,
        folder,
        [coco.files[place] for place in places],
        sizes,
        chosen,
        max_objects=max(map(len, objects)),
        shapes=reader.kept(shapes, chosen.ends, sizes) if reader else None,
        notes=notes,
    )
    return dataclasses.replace(source, ids=[coco.image_ids[place] for place in places])


def _photos(found, coco, images):
    """The folder of the images, which are all there; their sizes are filled in."""
    folder = Path(images) if images else _folder(found, coco.files)
    check_there(found.file, folder, coco.files)
    coco.sizes[:] = known_sizes(found.file, folder, coco.files, coco.sizes)
    return folder


@dataclasses.dataclass(frozen=True)
class Coco:
    """What a COCO file says.

    Attributes:
        class_names: strings, in the order of the categories' ids.
        category_ids: their ids.
        image_ids: the ids of the images, numbers or texts.
        files: names of their files.
        sizes: (rows, columns) of each, None where it does not say.
        annotations: for each image `[(box xywh, label, crowd, area or 0, shape or None)]`.
        strays: how many annotations are of images that are not listed.
        name: of the file, for messages.
    """

    class_names: tuple
    category_ids: tuple
    image_ids: list
    files: list
    sizes: list
    annotations: list
    strays: int
    name: str


def read_coco(path, reader=None):
    """Reads a COCO file.

    Args:
        path: a `Path`.
        reader: optional, what reads the shapes of objects, see `coco_shapes`.

    Returns:
        A `Coco`.

    Raises:
        ValueError: as `open_coco`.

    Example:

    >>> read_coco(Path("train.json")).class_names
    ('cat', 'dog')
    """
    name = shown(path)
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{name} cannot be opened: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON: {shown(error)}.") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"{name} is no COCO file: an object with images, annotations and categories was "
            f"expected, and it is a {type(content).__name__}."
        )
    for key in ("images", "annotations", "categories"):
        listed = content.get(key)
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise ValueError(f"{name} is no COCO file: it has no {key}, a list of objects.")
        if not listed and key != "annotations":
            raise ValueError(f"{name} lists no {key}.")
    category_ids, class_names = _categories(name, content["categories"])
    if reader:
        reader.start(name, content["categories"])
    places, files, sizes = _images(name, content["images"])
    annotations: list[list] = [[] for _ in files]
    labels = {number: label for label, number in enumerate(category_ids)}
    strays = 0
    for number, annotation in enumerate(content["annotations"]):
        image = annotation.get("image_id")
        place = places.get(image) if isinstance(image, (int, str)) else None
        if place is None:
            strays += 1
            continue
        annotations[place].append(_object(name, number, annotation, labels, reader))
    return Coco(class_names, category_ids, list(places), files, sizes, annotations, strays, name)


def _categories(name, categories):
    """`(ids, names)` in the order of the ids; a name that is there before gets its id with it."""
    names: dict[int, str] = {}
    for category in categories:
        number, text = category.get("id"), category.get("name")
        if type(number) is not int or abs(number) > LARGEST_ID or not isinstance(text, str):
            raise ValueError(
                f"{name} has a category without an integer as id and a text as name: "
                f"{shown(category)}."
            )
        if number in names:
            raise ValueError(f"{name} has two categories with the id {number}.")
        names[number] = text
    named: dict[str, int] = {}
    for number in sorted(names):
        text = names[number]
        named[text if text not in named else f"{text} ({number})"] = number
    return tuple(named.values()), tuple(named)


def _images(name, images):
    """`({id: place}, files, sizes)` of what is listed as images."""
    places: dict = {}
    files: dict[str, int] = {}
    sizes = []
    for place, image in enumerate(images):
        number, file = image.get("id"), image.get("file_name")
        if isinstance(number, bool) or not isinstance(number, (int, str)):
            raise ValueError(f"{name}: image {place} has no id: {shown(image)}.")
        if not isinstance(file, str) or not file or "\0" in file:
            raise ValueError(f"{name}: image {shown(number, 40)} has no file_name.")
        if number in places:
            raise ValueError(f"{name} has two images with the id {shown(number, 40)}.")
        if file in files:
            raise ValueError(f"{name} lists the image {shown(file)} twice.")
        places[number] = files[file] = place
        size = tuple(_whole(image.get(side)) for side in ("height", "width"))
        sizes.append(size if all(size) else None)
    return places, list(files), sizes


def _object(name, number, annotation, labels, reader):
    """`(box xywh, label, crowd, area, shape)` of an annotation."""
    said = f"{name}: annotation {shown(annotation.get('id', f'at place {number}'), 40)}"
    category = annotation.get("category_id")
    if type(category) is not int or category not in labels:
        raise ValueError(
            f"{said} is of the category {shown(category, 40)}, which is not among the "
            f"{len(labels)} that are listed."
        )
    box = annotation.get("bbox")
    numbers = [_number(side) for side in box] if isinstance(box, list) and len(box) == 4 else [None]
    if None in numbers:
        raise ValueError(
            f"{said} has no bbox of four finite numbers: x, y, width, height. Received: "
            f"{shown(box, 80)}"
        )
    crowd = annotation.get("iscrowd") or 0
    if crowd not in (0, 1):
        raise ValueError(f"{said} has an iscrowd that is neither 0 nor 1: {shown(crowd, 40)}.")
    shape = reader.read(said, annotation) if reader else None
    return numbers, labels[category], bool(crowd), _number(annotation.get("area")) or 0.0, shape


def _number(value):
    """A finite number as a float, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _whole(value):
    """A positive number of pixels as an int, else 0."""
    value = _number(value)
    return int(value) if value and 0 < value < 2**31 and value == int(value) else 0


def _objects(coco, reader):
    """`[[(box xyxy, label, crowd, area)] of each image]`, their shapes, and notes about changes."""
    counts = {"cut": 0, "empty": 0}
    objects, shapes = [], []
    for rows, size in zip(coco.annotations, coco.sizes, strict=True):
        kept, own = [], []
        for (x, y, width, height), label, crowd, area, shape in rows:
            box = clipped((x, y, x + width, y + height), size, counts)
            if box is None or (reader and shape is None):
                continue
            whole = (box[2] - box[0]) * (box[3] - box[1])
            kept.append((box, label, crowd, area if area > 0 else whole))
            own.append(reader.fitted(shape, size) if reader else None)
        objects.append(kept)
        shapes.append(own)
    notes = box_notes(coco.name, counts)
    if coco.strays:
        notes += (f"{coco.name}: left out, of images that are not listed: {coco.strays:,} boxes",)
    return objects, shapes, notes + (reader.notes(coco.name) if reader else ())


def _folder(found, files):
    """The first folder that holds any of the first images."""
    for folder in found.folders:
        if any(os.path.isfile(folder / file) for file in files[:20]):
            return folder
    places = ", ".join(shown(folder, 80) for folder in found.folders[:6])
    raise ValueError(
        f"{shown(found.file)} lists {shown(files[0])}, which is in none of the folders where it "
        f"was looked for: {places}."
    )
