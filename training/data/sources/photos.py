"""Image files beside their annotations: whether they are there, their size, boxes within them."""

import os
import warnings

from PIL import Image

from training.data.sources.words import shown


def header_of(path):
    """`(rows, columns, mode)` as Pillow reads them; None of what is missing or cannot be read.

    Args:
        path: a file.

    Example:

    >>> header_of("mask.png")
    (480, 640, 'P')
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of images too large to be unpacked
            with Image.open(path) as image:
                return image.height, image.width, image.mode
    except Exception:  # Pillow's plugins raise almost anything on a damaged file
        return None


def size_of(path):
    """`(rows, columns)`, or None, see `header_of`."""
    header = header_of(path)
    return header and header[:2]


def check_there(lister, folder, files):
    """Checks that images exist.

    Args:
        lister: what names them, for the error.
        folder: where they must be.
        files: their paths within it.

    Raises:
        ValueError: some do not; the first of them is named.

    Example:

    >>> check_there("train.json", "photos", ["1.jpg"])
    """
    missing = [name for name in files if not os.path.isfile(os.path.join(folder, name))]
    if missing:
        raise ValueError(
            f"{shown(lister)} lists {len(missing):,} images that are not in {shown(folder)}, the "
            f"first of them {shown(missing[0])}."
        )


def known_sizes(lister, folder, files, sizes):
    """The size of each image: as its annotations say, or else as its file does.

    Args:
        lister: what names the images, for the error.
        folder: where they are.
        files: their paths within it.
        sizes: (rows, columns) of each, or None.

    Returns:
        A list of (rows, columns).

    Raises:
        ValueError: the size of one is not said, and its file cannot be read.

    Example:

    >>> known_sizes("train.json", "photos", ["1.jpg", "2.jpg"], [(480, 640), None])
    [(480, 640), (640, 480)]
    """
    found = [
        size or size_of(os.path.join(folder, name)) for name, size in zip(files, sizes, strict=True)
    ]
    if None in found:
        raise ValueError(
            f"{shown(lister)} gives no width and height of {shown(files[found.index(None)])}, and "
            "the image cannot be read to find out."
        )
    return found


def clipped(box, size, counts):
    """A box within its image.

    Args:
        box: four finite numbers, xyxy pixels.
        size: (rows, columns).
        counts: dict, whose "cut" and "empty" count what was done.

    Returns:
        The box; None where it is inverted, of no area, or outside of the image.

    Example:

    >>> clipped((-2, 1, 5, 4), (10, 10), {"cut": 0, "empty": 0})
    (0, 1, 5, 4)
    """
    x0, y0, x1, y1 = box
    inside = max(x0, 0), max(y0, 0), min(x1, size[1]), min(y1, size[0])
    # less than this is nothing in float32 at the far end of an image
    if inside[2] - inside[0] < 1e-2 or inside[3] - inside[1] < 1e-2:
        counts["empty"] += 1
        return None
    # files round to hundredths
    counts["cut"] += any(abs(a - b) > 0.05 for a, b in zip(box, inside, strict=True))
    return inside


def box_notes(name, counts):
    """What to say of boxes that `clipped` changed or left out: a tuple of strings."""
    words = {
        "cut": "cut to their image",
        "empty": "left out, being inverted, of no area or outside of their image",
    }
    return tuple(f"{name}: {words[key]}: {n:,} boxes" for key, n in counts.items() if n)
