"""Masks of objects: polygons and COCO's run lengths, in an image and on the grid of a box.

A shape is a tuple of polygons, float64 (2 * points,) each, x and y by turns in pixels; or bytes,
the compressed run lengths of pycocotools. H, W: rows and columns of an image; M: places a side of
the grid of a box.
"""

import numpy as np
from pycocotools import mask as coco_mask

MASK_SIZE = 112  # M, unless told
FINE = 4  # pixels a side by which a place of the grid is drawn, of polygons
FAR = 8  # sides of what is drawn that a point is kept from it, at most: lines take memory


def box_mask(shape, size, box, side):
    """A shape on the grid of its box.

    Args:
        shape: polygons or run lengths.
        size: (rows, columns) of the image.
        box: four numbers, xyxy pixels within the image.
        side: int M.

    Returns:
        uint8 (M, M), the share of each place that the shape covers, on 0..255.

    Example:

    >>> box_mask((np.array([0.0, 0, 8, 0, 8, 4, 0, 4]),), (480, 640), (0, 0, 8, 8), 2)
    array([[255, 255],
           [  0,   0]], dtype=uint8)
    """
    if isinstance(shape, bytes):
        return of_pixels(decoded(shape, size), box, side)
    box, fine = np.asarray(box, "float64"), side * FINE
    scale = fine / (box[2:] - box[:2])
    scaled = [((part.reshape(-1, 2) - box[:2]) * scale).ravel() for part in shape]
    pixels = coco_mask.decode(_drawn(scaled, (fine, fine)))  # (M * FINE, M * FINE), 0 and 1
    count = sum(pixels[i::FINE, j::FINE] for i in range(FINE) for j in range(FINE))
    return ((2 * 255 * count.astype("int64") + FINE**2) // (2 * FINE**2)).astype("uint8")


def of_pixels(pixels, box, side):
    """The pixels of an object on the grid of its box.

    With a box of whole numbers all sums are whole numbers, so that results are the same anywhere.

    Args:
        pixels: boolean or 0 and 1 (H, W).
        box: four numbers, xyxy pixels within the image.
        side: int M.

    Returns:
        uint8 (M, M), the share of each place that they cover, on 0..255.

    Example:

    >>> of_pixels(np.eye(4), (0, 0, 4, 4), 2)
    array([[128,   0],
           [  0, 128]], dtype=uint8)
    """
    left, top, right, bottom = map(float, box)
    covered = _covered(pixels[:, int(left) : int(np.ceil(right))], top, bottom, side)
    # (M, columns) -> (columns, M) -> (M, M)
    covered = _covered(covered.T, left - int(left), right - int(left), side).T
    whole = (bottom - top) * (right - left)
    return np.floor(255 * covered / whole + 0.5).clip(0, 255).astype("uint8")


def _covered(values, start, end, side):
    """What the places of start..end cover of values (n, ...), (M, ...), times M.

    By sums from the first row on, faster than a product of matrices and without its threads.
    """
    first, last = int(start), int(np.ceil(end))
    values = np.pad(values[first:last].astype("float64"), [(0, 1), (0, 0)])
    before = np.cumsum(values, axis=0) - values  # of all rows above each
    borders = (start - first) * side + (end - start) * np.arange(side + 1)
    row = np.minimum(borders // side, last - first).astype("int64")
    beyond = (borders - row * side)[:, None]  # how far into that row, times M
    return np.diff(side * before[row] + beyond * values[row], axis=0)


def run_lengths(shape, size):
    """A shape as the compressed run lengths of its image's pixels, bytes.

    Args:
        shape: polygons or run lengths.
        size: (rows, columns) of the image.

    Example:

    >>> run_lengths((np.array([1.0, 2, 4, 2, 4, 6, 1, 6]),), (8, 9))
    b':44000V1'
    """
    return shape if isinstance(shape, bytes) else _drawn(shape, size)["counts"]


def encoded(pixels):
    """Pixels as compressed run lengths.

    Args:
        pixels: boolean (H, W).

    Returns:
        Bytes.

    Example:

    >>> encoded(np.zeros((4, 5), bool))
    b'd0'
    """
    return coco_mask.encode(np.asarray(pixels, "uint8", order="F"))["counts"]


def decoded(counts, size):
    """The pixels of compressed run lengths, uint8 (H, W).

    Example:

    >>> decoded(b"d0", (4, 5)).sum()
    0
    """
    return coco_mask.decode({"size": list(size), "counts": counts})


def lengths_of(counts):
    """The lengths of compressed runs; pycocotools reads beyond the end of damaged ones.

    A length is written in parts of five bits, the lowest first, each plus 48 and, but for the last,
    32; the fifth bit of the last is the sign. From the fourth length on it is the difference to the
    one before the last.

    Args:
        counts: bytes.

    Returns:
        int64 (runs,); None where they are damaged.

    Example:

    >>> lengths_of(b":44000V1")
    array([10,  4,  4,  4,  4,  4, 42])
    """
    parts = np.frombuffer(counts, "uint8").astype("int64") - 48
    ends = np.flatnonzero((parts & 32) == 0)
    if not len(ends) or parts.min() < 0 or parts.max() > 63 or ends[-1] != len(parts) - 1:
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    widths = ends - starts + 1
    if widths.max() > 7:
        return None
    shifts = 5 * (np.arange(len(parts)) - np.repeat(starts, widths))
    lengths = np.add.reduceat((parts & 31) << shifts, starts)
    lengths -= ((parts[ends] & 16) != 0) * (1 << 5 * widths)
    lengths[1::2], lengths[2::2] = np.cumsum(lengths[1::2]), np.cumsum(lengths[2::2])
    return lengths


def _drawn(parts, size):
    """Polygons as run lengths of an image of (rows, columns), as pycocotools has them."""
    far = FAR * max(size)
    parts = [part.clip(-far, far + max(size)) for part in parts]
    return coco_mask.merge(coco_mask.frPyObjects(parts, *size))
