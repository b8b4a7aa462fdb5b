"""ROIAlign: what a pyramid's maps hold inside of boxes, on a grid of fixed size.

B images, R boxes of an image, h w a map's size, C channels, S cells a side of the grid.
"""

import keras
import numpy as np
from keras import ops

from keras_regionvit.tasks.detection.boxes import areas

SAMPLES = 2  # points a cell and side
CANONICAL, CANONICAL_LEVEL = 224.0, 4  # a box of so many pixels a side is looked up there
TOGETHER = 256  # boxes of an image at once: 1,000 of 7x7 cells take 0.8 GiB


def levels_of(boxes, levels):
    """The level that each box is looked up on: the larger, the coarser.

    Args:
        boxes: float tensor (..., 4), xyxy pixels.
        levels: ints, from fine to coarse.

    Returns:
        An int32 tensor (...).

    Example:

    >>> int(levels_of(keras.ops.array([0.0, 0.0, 224.0, 224.0]), (2, 3, 4, 5)))
    4
    """
    side = ops.sqrt(areas(boxes))
    level = ops.floor(CANONICAL_LEVEL + ops.log2(side / CANONICAL + 1e-8))
    return ops.cast(ops.clip(level, levels[0], levels[-1]), "int32")


def roi_align(maps, boxes, size, samples=SAMPLES):
    """The contents of boxes, each from the level of its size.

    A cell is the mean of `samples` x `samples` points, each interpolated between four places of the
    map; what lies more than a place outside of it counts as zero. The number of points is fixed,
    where detectron2 takes one for each place that a cell covers; it is that of torchvision's
    `roi_align` with `aligned=True` and `sampling_ratio=2`. Gathers and products alone, so that
    converters know it; no gradient goes to the boxes.

    Args:
        maps: `{2: tensor (B, h, w, C), ...}` by level, from fine to coarse.
        boxes: float tensor (B, R, 4), xyxy in pixels of the image; R must be known.
        size: int S.
        samples: int, see above.

    Returns:
        A tensor (B, R, S, S, C) of the maps' dtype.

    Example:

    >>> roi_align({2: maps}, keras.ops.array([[[8.0, 8.0, 40.0, 72.0]]]), 7).shape
    TensorShape([1, 1, 7, 7, 256])
    """
    boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
    places, table = _table(maps)
    count = boxes.shape[1]
    parts = [
        _cells(places, table, boxes[:, start : start + TOGETHER], size, samples)
        for start in range(0, count, TOGETHER)
    ]
    return ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def _table(maps):
    """All places of all maps in a row, (B * places, C), and what finds one in it.

    The latter: `{level: (h, w, first place, 1 / stride)}`, and how many places an image has.
    """
    rows, first, known = [], 0, {}
    for level, x in maps.items():
        batch, height, width, channels = ops.shape(x)
        rows.append(ops.reshape(x, (batch, height * width, channels)))
        known[level] = (height, width, first, 1 / 2**level)
        first = first + height * width
    joined = ops.concatenate(rows, axis=1)
    return ops.reshape(joined, (-1, joined.shape[-1])), (known, first)


def _cells(places, table, boxes, size, samples):
    """`roi_align` of some of the boxes at once."""
    known, total = table
    batch, count = ops.shape(boxes)[0], boxes.shape[1]
    level = levels_of(boxes, tuple(known)) - next(iter(known))  # (B, R)
    height, width, first, scale = (
        ops.take(ops.stack([ops.cast(n, kind) for n in numbers]), level)
        for numbers, kind in zip(
            zip(*known.values(), strict=True), ("int32", "int32", "int32", "float32"), strict=True
        )
    )
    corners = boxes * scale[..., None] - 0.5
    columns, across = _axis(corners[..., 0], corners[..., 2], width, size, samples)
    rows, down = _axis(corners[..., 1], corners[..., 3], height, size, samples)
    first = first + total * ops.arange(batch, dtype="int32")[:, None]
    # (B, R, n, n), n = 2 * samples * S places a side
    index = (first[..., None] + rows * width[..., None])[..., None] + columns[..., None, :]
    found = ops.take(places, index, axis=0)  # (B, R, n, n, C)
    side, channels = index.shape[-1], places.shape[-1]
    # the rows first: (B, R, S, n) x (B, R, n, n * C)
    found = ops.reshape(found, (batch, count, side, side * channels))
    found = ops.matmul(ops.cast(down, found.dtype), found)
    found = ops.reshape(found, (batch, count, size, side, channels))
    return ops.matmul(ops.cast(across, found.dtype)[:, :, None], found)


def _axis(start, end, length, size, samples):
    """Where the points of one axis lie and what each counts.

    Args:
        start: float tensor (B, R), places of the map.
        end: likewise.
        length: int tensor (B, R), places of the map.
        size: int S.
        samples: int.

    Returns:
        `(int32 (B, R, n), float32 (B, R, S, n))`, n = 2 * samples * S: two places a point, and
        what each adds to each cell.
    """
    points = np.arange(size * samples, dtype="float32") + 0.5
    step = (end - start) / (size * samples)
    point = start[..., None] + points * step[..., None]  # (B, R, n / 2)
    length = length[..., None]
    last = ops.cast(length - 1, "float32")
    outside = (point < -1.0) | (point > last + 1)
    point = ops.clip(point, 0.0, last)
    low = ops.floor(point)
    share = point - low
    here = ops.where(outside, 0.0, 1.0 / samples)
    weights = ops.stack([here * (1 - share), here * share], axis=-1)  # (B, R, n / 2, 2)
    low = ops.cast(low, "int32")
    index = ops.stack([low, ops.minimum(low + 1, length - 1)], axis=-1)
    batch, count = ops.shape(start)[0], start.shape[1]
    shape = (batch, count, 2 * size * samples)
    own = np.repeat(np.eye(size, dtype="float32"), 2 * samples, axis=1)  # (S, n)
    return ops.reshape(index, shape), ops.reshape(weights, shape)[:, :, None] * own


@keras.saving.register_keras_serializable(package="keras_regionvit")
class ROIAlign(keras.layers.Layer):
    """`roi_align` as a layer, its boxes in a row.

    Args:
        size: int S.
        first: int, the level of the first map.

    Input: a list of maps (B, h, w, C) of successive levels, then boxes (B, R, 4).
    Output shape: (B * R, S, S, C).

    Example:

    >>> ROIAlign(7)([p2, p3, p4, p5, boxes])
    """

    def __init__(self, size, first=2, **kwargs):
        super().__init__(**kwargs)
        self.size, self.first = size, first

    def call(self, inputs):
        """The cells of all boxes."""
        *maps, boxes = inputs
        levels = {self.first + i: x for i, x in enumerate(maps)}
        cells = roi_align(levels, boxes, self.size)
        # (B, R, S, S, C) -> (B * R, S, S, C)
        return ops.reshape(cells, (-1, self.size, self.size, maps[0].shape[-1]))

    def compute_output_shape(self, input_shape):
        """A row for each box."""
        batch, count = input_shape[-1][:2]
        rows = None if batch is None else batch * count
        return (rows, self.size, self.size, input_shape[0][-1])

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "size": self.size, "first": self.first}
