"""A composed set: tinted garments of Fashion-MNIST on textured grounds, with exact boxes and masks.

Something to learn detection and segmentation from without a download. An image follows from its
part and its index alone: all draws are those of NumPy's frozen `RandomState`, and all pixels are
made by integer arithmetic, so the bytes are the same on every machine and any number of threads.
Garments to learn from and to test on come from the parts of Fashion-MNIST, which share none.
"""

import functools
import typing

import numpy as np
import tensorflow as tf

from training.data.sources import fashion_mnist
from training.data.sources.composed_shapes import corners_of, shapes_of
from training.data.sources.dense import detection_info, segmentation_info
from training.data.sources.instance_masks import MASK_SIZE
from training.data.sources.source import Source, shuffled_range
from training.data.sources.splits import names_of
from training.data.sources.words import class_summary

SIZE = 256  # pixels a side of an image
COUNTS = {"train": 2000, "test": 500}
FEWEST, MOST = 3, 8  # garments in an image
SMALLEST, LARGEST = 24, 112  # pixels of a garment's longer side
THRESHOLD = 16  # a pixel this dark is not of the garment
CLASS_NAMES: tuple[str, ...] = fashion_mnist.CLASS_NAMES
BACKGROUND = len(CLASS_NAMES)
SEED = 20171
BOXES = ("detection", "masks", "keypoints")
TRIES = 40  # places drawn for a garment; later ones are for smaller garments


class Composed(typing.NamedTuple):
    """One image of the set; n is the number of garments, S is `SIZE`.

    Attributes:
        image: uint8 (S, S, 3).
        owner: int64 (S, S), the garment that is seen at a pixel, -1 for the background.
        boxes: float32 (n, 4), xyxy pixels, tight around what is seen of each.
        labels: int64 (n,).
        visible: int64 (n,), pixels that are seen of each.
        whole: int64 (n,), pixels of each without those that lie over it.
        sides: int64 (n,), the longer side of each in pixels, without those that lie over it.
    """

    image: np.ndarray
    owner: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    visible: np.ndarray
    whole: np.ndarray
    sides: np.ndarray


def composed_source(split, what="detection", *, count=None, mask_size=MASK_SIZE):
    """The composed set: 2,000 images to learn from, 500 to test on, of 256x256 pixels.

    An image holds 3 to 8 garments whose longer side has 24 to 112 pixels. Of each at least half
    is seen.

    Args:
        split: "train", "validation" or "test"; the last two mean the same.
        what: "detection", "masks", "keypoints", or "segmentation", whose 11th class is the
            background.
        count: at most so many images, the first ones.
        mask_size: int M, places a side of a mask.

    Returns:
        A `Source`. Its examples are, for detection, {"image": uint8 (256, 256, 3), "boxes":
        float32 (n, 4), "labels": int64 (n,), "crowd": bool (n,), "area": float32 (n,)}, where the
        area counts the pixels that are seen; with masks also {"masks": uint8 (n, M, M),
        "segmentation": string (n,), "size": int32 (2,)} of what is seen, with keypoints
        {"keypoints": float32 (n, 4, 3)}, see `composed_shapes`, and all garments are of one class;
        for segmentation {"image", "mask": uint8 (256, 256)}.

    Raises:
        ValueError: `split` or `what` is another one.

    Example:

    >>> composed_source("train").count
    2000
    """
    if what not in (*BOXES, "segmentation"):
        raise ValueError(f"`what` must be {', '.join(BOXES)} or segmentation. Received: {what!r}")
    part = "train" if "train" in names_of(split) else "test"
    count, class_names = min(count or COUNTS[part], COUNTS[part]), CLASS_NAMES
    if what in BOXES:
        shapes = shapes_of(what, mask_size)
        class_names = shapes.class_names or class_names
        info = detection_info(class_names, MOST, range(1, len(class_names) + 1)) | shapes.info
        example_of = functools.partial(_detection, part, shapes)
    else:
        class_names = (*class_names, "background")
        info = segmentation_info(class_names)
        example_of = functools.partial(_segmentation, part)
    return Source(
        name=f"composed {part}",
        info=info,
        count=count,
        records=lambda epoch_seed: shuffled_range(count, epoch_seed),
        example_of=example_of,
        key_of=lambda index: {
            "index": index,
            "name": tf.strings.join([f"composed {part}, image ", tf.strings.as_string(index)]),
        },
        summary=class_summary(class_names),
        sizes=np.full((count, 2), SIZE, "int32"),
    )


def _detection(part, shapes, index):
    def make(index):
        made, corners = compose_whole(part, int(index))
        area = made.visible.astype("float32")
        return made.image, made.boxes, made.labels, area, *shapes.of(made, corners)

    # declared free of state: a stateful function would be run by one thread only
    kinds = (tf.uint8, tf.float32, tf.int64, tf.float32, *(s.dtype for s in shapes.specs.values()))
    image, boxes, labels, area, *more = tf.numpy_function(make, [index], kinds, stateful=False)
    labels = tf.ensure_shape(labels, (None,))
    labels = tf.zeros_like(labels) if len(shapes.class_names) == 1 else labels
    specs = shapes.specs.items()
    return {
        "image": tf.ensure_shape(image, (SIZE, SIZE, 3)),
        "boxes": tf.ensure_shape(boxes, (None, 4)),
        "labels": labels,
        "crowd": tf.zeros_like(labels, tf.bool),
        "area": tf.ensure_shape(area, (None,)),
        **{
            name: tf.ensure_shape(x, spec.shape)
            for (name, spec), x in zip(specs, more, strict=True)
        },
    }


def _segmentation(part, index):
    def make(index):
        made = compose(part, int(index))
        return made.image, np.append(made.labels, BACKGROUND)[made.owner].astype("uint8")

    image, mask = tf.numpy_function(make, [index], (tf.uint8, tf.uint8), stateful=False)
    image = tf.ensure_shape(image, (SIZE, SIZE, 3))
    return {"image": image, "mask": tf.ensure_shape(mask, (SIZE, SIZE))}


@functools.cache
def _garments():
    """The garments of each part: `{part: (images, cut to what is not dark, and labels)}`."""
    parts = zip(("train", "test"), fashion_mnist.load(), strict=True)
    return {name: ([_cut(i[..., 0]) for i in part.images], part.labels) for name, part in parts}


def _cut(garment):
    """A grey image without its dark border."""
    return garment[_inside(garment >= THRESHOLD)]


def _inside(mask):
    """Two slices, of the rows and columns that just hold a boolean image's pixels."""
    ends = (np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (1, 0))
    return tuple(slice(first, last + 1) for first, last in ends)


def compose(part, index):
    """Makes one image.

    Args:
        part: "train" or "test".
        index: int, which image.

    Returns:
        A `Composed`.

    Example:

    >>> compose("test", 0).image.shape
    (256, 256, 3)
    """
    return compose_whole(part, index)[0]


def compose_whole(part, index):
    """As `compose`, and where the corners of whole garments lie, int64 (n, 4, 2), x and y."""
    garments, classes = _garments()[part]
    draw = np.random.RandomState([SEED, sorted(COUNTS).index(part), index])
    image = ground(draw)
    owner = np.full((SIZE, SIZE), -1)
    labels, whole, visible, sides = (np.zeros(0, "int64") for _ in range(4))
    corners = []
    for _ in range(draw.randint(FEWEST, MOST + 1)):
        number = draw.randint(len(garments))
        found = _place(draw, garments[number], owner, whole, visible)
        if found is None:
            continue
        grey, mask, place, covered = found
        tint = draw.randint(112, 256, 3).astype("int32")
        image[place][mask] = ((grey[..., None] * tint + 127) // 255)[mask]
        owner[place][mask] = len(labels)
        labels = np.append(labels, classes[number])
        whole, visible = np.append(whole, mask.sum()), np.append(visible - covered, mask.sum())
        sides = np.append(sides, max(mask.shape))
        corners.append(np.add(corners_of(mask), (place[1].start, place[0].start)))
    places = [_inside(owner == item) for item in range(len(labels))]
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in places], "float32")
    made = Composed(image.astype("uint8"), owner, boxes, labels, visible, whole, sides)
    return made, np.array(corners)


def _place(draw, garment, owner, whole, seen):
    """Finds where a garment leaves at least half of every other one to be seen.

    Args:
        draw: a `RandomState`.
        garment: uint8 (h, w).
        owner: as of `Composed`, so far.
        whole: pixels of each garment so far, an array.
        seen: how many of them are seen, an array.

    Returns:
        `(grey int32 (h', w'), mask boolean (h', w'), two slices, how many pixels of each garment it
        covers)`; None where no try succeeds.
    """
    for attempt in range(TRIES):
        largest = LARGEST - (LARGEST - SMALLEST) * attempt // TRIES
        grey, mask = _resized(garment, draw.randint(SMALLEST, largest + 1))
        top, left = (draw.randint(SIZE - length + 1) for length in mask.shape)
        place = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        covered = np.bincount(owner[place][mask] + 1, minlength=len(whole) + 1)[1:]
        if max(mask.shape) >= SMALLEST and np.all(2 * (seen - covered) >= whole):
            return grey, mask, place, covered
    return None


def _resized(garment, side):
    """A garment whose longer side has about `side` pixels, and which of its pixels are its own."""
    shape = [max(1, round(side * length / max(garment.shape))) for length in garment.shape]
    grey = bilinear(garment.astype("int32"), *shape)
    # an end of one bright pixel may get lost between the pixels that are drawn
    inside = _inside(grey >= THRESHOLD)
    return grey[inside], grey[inside] >= THRESHOLD


def bilinear(image, rows, columns):
    """An image of integers resized: bilinear, half-pixel centres, edges repeated, rounded.

    Args:
        image: int32 (h, w), values in 0..255.
        rows: int.
        columns: int.

    Returns:
        int32 (rows, columns).

    Example:

    >>> bilinear(np.array([[0, 100]]), 1, 4)
    array([[  0,  25,  75, 100]])
    """
    for axis, length in enumerate((rows, columns)):
        size = image.shape[axis]
        # places in units of 1 / (2 * length)
        place = (2 * np.arange(length, dtype="int32") + 1) * size - length
        low, share = np.divmod(np.clip(place, 0, 2 * length * (size - 1)), 2 * length)
        share = share[:, None] if axis == 0 else share
        first = np.take(image, low, axis)
        second = np.take(image, np.minimum(low + 1, size - 1), axis)
        image = (first * (2 * length - share) + second * share + length) // (2 * length)
    return image


def ground(draw):
    """A background: two dull colours mixed by stripes or by noise of several sizes.

    Args:
        draw: a `RandomState`.

    Returns:
        int32 (S, S, 3), values in 0..255.
    """
    colours = draw.randint(20, 150, (2, 3)).astype("int32")
    if draw.randint(3):
        mixed = np.zeros((SIZE, SIZE), "int32")
        for cells, weight in ((4, 4), (16, 2), (64, 2)):
            noise = draw.randint(0, 256, (cells, cells)).astype("int32")
            mixed += weight * bilinear(noise, SIZE, SIZE)
        mixed >>= 3
    else:
        line = np.arange(SIZE, dtype="int32")
        down, right, period = draw.randint(-4, 5), draw.randint(1, 5), draw.randint(24, 128)
        mixed = (down * line[:, None] + right * line) % period * 255 // period
    grain = draw.randint(-12, 13, (SIZE, SIZE)).astype("int32")
    image = (mixed[..., None] * (colours[0] - colours[1]) >> 8) + colours[1]
    return np.clip(image + grain[..., None], 0, 255)
