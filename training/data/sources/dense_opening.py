"""Which names of a recipe and of `--data` open which source of images with boxes or masks."""

from collections.abc import Callable
from pathlib import Path

from training.data.sources.coco_json import open_coco
from training.data.sources.composed import composed_source
from training.data.sources.instance_masks import MASK_SIZE
from training.data.sources.instance_shapes import check_shapes
from training.data.sources.masks import open_masks
from training.data.sources.splits import names_of
from training.data.sources.tfds_dense import (
    COCO,
    SCENES,
    open_tfds_detection,
    open_tfds_segmentation,
)
from training.data.sources.tfds_sets import PREFIX as TFDS
from training.data.sources.voc_xml import open_voc
from training.data.sources.words import shown

# How to open each source: a function of `data`, `split` and `count`; of boxes also of keywords.
DETECTION: dict[str, Callable] = {
    "composed": lambda data, split, count, shapes, mask_size: composed_source(
        split, shapes or "detection", count=count, mask_size=mask_size
    ),
    "coco": lambda data, split, count, **more: open_coco(data, split, **more),
    "voc": lambda data, split, count, **_: open_voc(data, split),
    f"{TFDS}{COCO}": lambda data, split, count, **_: open_tfds_detection(split, data=data),
}
WITH_SHAPES = ("composed", "coco")
SEGMENTATION: dict[str, Callable] = {
    "composed": lambda data, split, count: composed_source(split, "segmentation", count=count),
    "masks": lambda data, split, count: open_masks(data, split),
    f"{TFDS}{SCENES}": lambda data, split, count: open_tfds_segmentation(split, data=data),
}
DENSE_WITH_PATH = ("coco", "voc", "masks")  # what is nowhere unless told
FOLDER = "folder"  # a folder whose kind is found by what lies in it
COCO_FILES = ("*.json", "annotations/*.json", "*/_annotations.coco.json", "*/annotations.json")
VOC_FILES = ("ImageSets/Main", "*.xml", "*/*.xml", "*/Annotations")
MASK_FOLDERS = ("images", "JPEGImages", "*/images")


def open_detection_source(spec, split, data=None, count=None, *, shapes="", mask_size=MASK_SIZE):
    """Opens one part of a set of images with boxes, and with masks or keypoints if asked for.

    Args:
        spec: "composed", "coco", "voc" or "tfds:coco/2017"; see `composed_source`, `open_coco`,
            `open_voc` and `open_tfds_detection`. "folder" or None: what lies in `data` says which.
        split: "train", "validation" or "test"; "all" for data that nobody divided.
        data: a folder or file. Where it holds COCO's JSON or VOC's XML it is taken also if `spec`
            is one that needs no folder.
        count: at most so many images of the composed set.
        shapes: "masks" or "keypoints", what else examples hold.
        mask_size: int M, places a side of a mask.

    Returns:
        A `Source`; its examples are {"image": string () or uint8 (H, W, 3), "boxes": float32
        (n, 4), xyxy pixels, "labels": int64 (n,), "crowd": bool (n,), "area": float32 (n,)}, its
        info is that of `detection_info`. With masks also {"masks": uint8 (n, M, M), the share of
        each place of its box that an object covers, on 0..255, "segmentation": string (n,), the
        compressed run lengths of its pixels, "size": int32 (2,), rows and columns}. With keypoints
        {"keypoints": float32 (n, K, 3), x and y in pixels, and 0 not labelled, 1 hidden, 2 seen},
        and the info also has that of `named_info`.

    Raises:
        ValueError: `spec`, `split` or `shapes` is unknown, the data are missing or wrong, or hold
            boxes alone where more is asked for.

    Example:

    >>> open_detection_source("folder", "train", data="/coco").count
    118287
    """
    check_shapes(shapes, mask_size)
    more = {"shapes": shapes, "mask_size": mask_size}
    return _open(DETECTION, _detection_kind, spec, split, data, count, **more)


def open_segmentation_source(spec, split, data=None, count=None):
    """Opens one part of a set of images with masks.

    Args:
        spec: "composed", "masks" or "tfds:scene_parse150"; see `composed_source`, `open_masks` and
            `open_tfds_segmentation`. "folder" or None: what lies in `data` says which.
        split: "train", "validation" or "test"; "all" for data that nobody divided.
        data: a folder. Where it holds images and masks it is taken also if `spec` is one that needs
            no folder.
        count: at most so many images of the composed set.

    Returns:
        A `Source`; its examples are {"image": string () or uint8 (H, W, 3), "mask": uint8 (H, W),
        255 for no class}, its info is that of `segmentation_info`.

    Raises:
        ValueError: `spec` or `split` is unknown, or the data are missing or wrong.

    Example:

    >>> open_segmentation_source("masks", "train", data="/ade20k").count
    20210
    """
    return _open(SEGMENTATION, _segmentation_kind, spec, split, data, count)


def _open(openers, kind_of, spec, split, data, count, **more):
    known = (*openers, FOLDER)
    if spec is not None and spec not in known:
        raise ValueError(f"`data` must be one of {', '.join(known)}. Received: {spec!r}")
    names_of(split)  # refuses an unknown one
    asked = spec in (None, FOLDER)
    if data is None:
        if asked or spec in DENSE_WITH_PATH:
            raise ValueError(f"--data must say where the images are, as the recipe reads {spec!r}.")
    elif asked or spec not in DENSE_WITH_PATH:
        kind = kind_of(Path(data))
        if kind is None and (asked or not spec.startswith(TFDS)):
            kinds = [kind for kind in openers if kind in DENSE_WITH_PATH]
            raise ValueError(
                f"{shown(data)} is not a data set of a kind that is known here: "
                f"{' or '.join(kinds)}."
            )
        spec = kind or spec
    if more.get("shapes") and spec not in WITH_SHAPES:
        raise ValueError(
            f"{more['shapes']} are asked for, and {spec!r} holds boxes alone; COCO's JSON has them."
        )
    return openers[spec](data, split, count, **more)


def _detection_kind(data):
    """The kind of what lies in a folder, "coco" or "voc"; None if neither does."""
    if data.is_file() and data.suffix.lower() == ".json":
        return "coco"
    kinds = [
        kind for kind, files in (("coco", COCO_FILES), ("voc", VOC_FILES)) if _any(data, files)
    ]
    if len(kinds) > 1:
        raise ValueError(
            f"{shown(data)} holds both JSON and XML files; say which by --data coco:{shown(data)} "
            f"or voc:{shown(data)}."
        )
    return kinds[0] if kinds else None


def _segmentation_kind(data):
    """Says "masks" if images lie in a folder as `open_masks` finds them, else None."""
    return "masks" if _any(data, MASK_FOLDERS) else None


def _any(folder, patterns):
    return any(next(folder.glob(pattern), None) is not None for pattern in patterns)
