"""What the annotations of a COCO file say of objects beside their boxes: masks or keypoints.

A reader checks it and keeps it in few bytes, see `instance_shapes`. M: places a side of a mask; K:
keypoints of an object.
"""

import math
import typing

import numpy as np
from pycocotools import mask as coco_mask

from training.data.sources import instance_masks
from training.data.sources.instance_shapes import Keypoints, Masks, check_shapes
from training.data.sources.keypoint_names import keypoint_info
from training.data.sources.words import shown

LARGEST_IMAGE = 2**31  # pixels that run lengths may speak of


class _Runs(typing.NamedTuple):
    """Compressed run lengths, the (rows, columns) they are of, and the annotation's name."""

    counts: bytes
    size: tuple
    said: str


class MaskReader:
    """Reads segmentations: polygons of any number of parts, run lengths compressed or not.

    Args:
        side: int M.
    """

    def __init__(self, side):
        self.side = side
        self.asked = self.missing = self.flat = 0

    def start(self, name, categories):
        """Takes the categories, which say nothing of masks."""

    def read(self, said, annotation):
        """What an annotation says, None where that is nothing.

        Args:
            said: str, which annotation of which file.
            annotation: dict.

        Raises:
            ValueError: it is neither polygons nor run lengths, or these are damaged.
        """
        found = annotation.get("segmentation")
        self.asked += 1
        if isinstance(found, dict):
            return _runs(said, found)
        if found is not None and not isinstance(found, list):
            raise ValueError(
                f"{said} has a segmentation that is neither a list of polygons nor run lengths: "
                f"{shown(found, 60)}."
            )
        parts = [_polygon(said, part) for part in found or ()]
        solid = tuple(part for part in parts if len(part) >= 6)
        self.flat += len(parts) - len(solid)
        if not solid:
            self.missing += 1
        return solid or None

    def fitted(self, shape, size):
        """What is kept of a shape in an image of (rows, columns).

        Raises:
            ValueError: run lengths are of another size.
        """
        if not isinstance(shape, _Runs):
            return shape
        if shape.size != tuple(size):
            raise ValueError(
                f"{shape.said} has run lengths of {shape.size[1]}x{shape.size[0]} pixels, but its "
                f"image has {size[1]}x{size[0]}."
            )
        return shape.counts

    def notes(self, name):
        """What to say of the file, a tuple of strings.

        Raises:
            ValueError: it has boxes alone.
        """
        if self.asked and self.missing == self.asked:
            raise ValueError(
                f"{name} has no mask: none of its {self.asked:,} annotations has a segmentation of "
                "at least three points."
            )
        words = {
            "parts of masks of fewer than three points left out": self.flat,
            "left out, having no mask": self.missing,
        }
        return tuple(f"{name}: {text}: {count:,}" for text, count in words.items() if count)

    def kept(self, shapes, ends, sizes):
        """The shapes of all objects, see `Masks`."""
        return Masks(shapes, ends, sizes, self.side)


class KeypointReader:
    """Reads keypoints; what a file says of their number is not used, they are counted.

    COCO counts pixels by whole numbers, of which half a pixel makes their middle.
    """

    def __init__(self):
        self.info, self.outside = {}, 0

    def start(self, name, categories):
        """Takes the names of the keypoints from the categories.

        Raises:
            ValueError: no category has any, or they differ.
        """
        self.info = keypoint_info(name, categories)

    def read(self, said, annotation):
        """The keypoints of an annotation, float32 (K, 3), zeros if it has none.

        Raises:
            ValueError: they are not three finite numbers each, as many as the categories have.
        """
        found, count = annotation.get("keypoints") or [0] * (3 * self.info["keypoints"]), None
        if isinstance(found, list) and len(found) % 3 == 0:
            count = len(found) // 3
        if count != self.info["keypoints"]:
            said_count = f"{len(found)} numbers" if isinstance(found, list) else shown(found, 40)
            raise ValueError(
                f"{said} must have x, y and visibility of {self.info['keypoints']} keypoints, as "
                f"its categories do. Received: {said_count}"
            )
        if not all(_finite(value) for value in found):
            raise ValueError(
                f"{said} has keypoints that are not finite numbers: {shown(found, 80)}."
            )
        points = np.array(found, "float64").reshape(-1, 3)
        if not np.isin(points[:, 2], (0, 1, 2)).all():
            raise ValueError(
                f"{said} has a keypoint whose visibility is not 0, 1 or 2: {shown(found, 80)}."
            )
        return points

    def fitted(self, points, size):
        """Keypoints in pixels whose middle is at a half; those outside of the image are 0."""
        x, y, visible = points.T
        inside = (x >= 0) & (y >= 0) & (x <= size[1]) & (y <= size[0])
        self.outside += int(((visible > 0) & ~inside).sum())
        kept = points + np.array([0.5, 0.5, 0])
        return np.where(((visible > 0) & inside)[:, None], kept, 0).astype("float32")

    def notes(self, name):
        """What to say of the file, a tuple of strings."""
        if not self.outside:
            return ()
        return (
            f"{name}: taken for not labelled, outside of their image: {self.outside:,} keypoints",
        )

    def kept(self, shapes, ends, sizes):
        """The keypoints of all objects, see `Keypoints`."""
        points = np.array(shapes, "float32").reshape(-1, self.info["keypoints"], 3)
        return Keypoints(points, ends, self.info)


def reader_of(shapes, mask_size):
    """A reader of "masks" or "keypoints"; None for "".

    Args:
        shapes: one of `SHAPES`.
        mask_size: int M.

    Raises:
        ValueError: `shapes` is another one, or `mask_size` no positive integer.

    Example:

    >>> reader_of("masks", 112).side
    112
    """
    check_shapes(shapes, mask_size)
    if shapes == "masks":
        return MaskReader(mask_size)
    return KeypointReader() if shapes else None


def _runs(said, found):
    """Run lengths of COCO, compressed if they are not."""
    size, counts = found.get("size"), found.get("counts")
    if not (
        isinstance(size, list)
        and len(size) == 2
        and all(type(side) is int and side > 0 for side in size)
        and math.prod(size) < LARGEST_IMAGE
    ):
        raise ValueError(f"{said} has run lengths without a size of rows and columns.")
    if isinstance(counts, str):
        text = counts.encode("ascii", "backslashreplace")
        lengths = instance_masks.lengths_of(text)
    elif isinstance(counts, list) and all(type(n) is int and 0 <= n < 2**31 for n in counts):
        text, lengths = None, np.array(counts, "int64")
    else:
        raise ValueError(f"{said} has run lengths that are neither a text nor whole numbers.")
    if lengths is None or lengths.min(initial=0) < 0 or lengths.sum() != math.prod(size):
        total = "damaged" if lengths is None else f"of {lengths.sum():,} pixels"
        raise ValueError(
            f"{said} has run lengths that are {total}; their size says {size[1]}x{size[0]} pixels."
        )
    if text is None:
        text = coco_mask.frPyObjects({"size": size, "counts": counts}, *size)["counts"]
    return _Runs(text, tuple(size), said)


def _polygon(said, part):
    """A part of a segmentation, float64 (2 * points,)."""
    if not isinstance(part, list) or len(part) % 2 or not all(_finite(value) for value in part):
        raise ValueError(
            f"{said} has a polygon that is not a list of x and y by turns, finite numbers: "
            f"{shown(part, 80)}."
        )
    return np.array(part, "float64")


def _finite(value):
    """Whether a value of JSON is a number that is no larger than what float64 counts by ones."""
    return type(value) in (int, float) and abs(value) < 2**53
