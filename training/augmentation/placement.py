"""Where a transform put what an image shows, so that boxes, masks and points can follow.

A transform draws once and returns its image with a `Placement`. Coordinates are those of
`affine`: (x, y) in pixels, pixel i spans [i, i + 1). H, W: rows and columns of the source image;
h, w: of the result; N boxes; K points.
"""

import typing

import tensorflow as tf

from training.augmentation import affine, box_masks, warp


class Placement(typing.NamedTuple):
    """What geometric transforms did to an image, one step after the other.

    A named tuple of tensors, so that it passes through `tf.data` and `tf.function`, where it costs
    nothing unless something is made to follow. What a step cut off stays hidden, also where a
    later one moves the gap into sight.

    Attributes:
        steps: float32 (n, 2, 3), the map of each step from points of its source to points of its
            result, see `affine`.
        sizes: int32 (n, 2), rows and columns of the result of each step.

    Example:

    >>> image, placement = training_image(data, seed, size=224, channels=3, crop="random_resized")
    >>> boxes, visible = placement.boxes(boxes)
    >>> kept = visible > 0.3
    """

    steps: tf.Tensor
    sizes: tf.Tensor

    def then(self, other):
        """The placement by these steps and, of their result, by those of another placement.

        Args:
            other: a `Placement`.

        Returns:
            A `Placement`.

        Example:

        >>> cropped.then(flipped)
        """
        steps = tf.concat([self.steps, other.steps], axis=0)
        return Placement(steps, tf.concat([self.sizes, other.sizes], axis=0))

    @property
    def mirrored(self):
        """Whether left and right have changed places, a boolean scalar."""
        return tf.reduce_prod(affine.determinant(self.steps)) < 0

    def points(self, points):
        """Where points of the source image lie in the result, and whether they show there.

        Args:
            points: float32 (..., 2), x and y.

        Returns:
            `(points float32 (..., 2), shown boolean (...))`; points that do not show are moved all
            the same.

        Example:

        >>> points, shown = placement.points([[12.5, 7.5]])  # the middle of column 12, row 7
        """
        x, y = tf.unstack(tf.convert_to_tensor(points, tf.float32), axis=-1)
        shown = tf.ones_like(x, tf.bool)
        for step, size in self._each():
            x, y = affine.moved(step, x, y)
            shown &= affine.inside(x, y, size)
        return tf.stack([x, y], axis=-1), shown

    def boxes(self, boxes, clip=True):
        """Where boxes of the source image lie in the result, and how much of each still shows.

        Args:
            boxes: float32 (..., N, 4), xyxy. Rows that only fill the tensor up have no area.
            clip: whether to cut off what does not show. Boxes of which nothing is left are zeros.

        Returns:
            `(boxes float32 (..., N, 4), visible float32 (..., N))`: the share of each box's area
            that shows, 0 for boxes outside and rows without area. Of a turned box, both speak of
            the upright box around it.

        Example:

        >>> boxes, visible = placement.boxes(boxes)
        >>> valid &= visible > 0
        """
        moved = shown = tf.convert_to_tensor(boxes, tf.float32)
        for step, size in self._each():
            moved = affine.boxes_of(step, moved)
            shown = affine.within(affine.boxes_of(step, shown), affine.whole(size))
        visible = tf.math.divide_no_nan(affine.area(shown), affine.area(moved))
        if clip:
            moved = tf.where(visible[..., None] > 0, shown, 0.0)
        return moved, visible

    def keypoints(self, points, visible, pairs=()):
        """Where the keypoints of an object lie in the result; sides change where it is mirrored.

        Args:
            points: float32 (..., K, 2), x and y.
            visible: (..., K) of any number dtype or boolean; zero or False means not labelled.
            pairs: the numbers of a left and its right keypoint each, such as ((1, 2), (3, 4)).

        Returns:
            `(points, visible)` of the same shapes and dtypes; `visible` is zero or False also for
            points that do not show.

        Example:

        >>> points, visible = placement.keypoints(points, visible, pairs=((1, 2), (3, 4)))
        """
        visible = tf.convert_to_tensor(visible)
        points, shown = self.points(points)
        visible = tf.where(shown, visible, tf.zeros_like(visible))
        order = list(range(points.shape[-2]))
        swapped = list(order)
        for left, right in pairs:
            swapped[left], swapped[right] = right, left
        order = tf.where(self.mirrored, swapped, order)
        return tf.gather(points, order, axis=-2), tf.gather(visible, order, axis=-1)

    def mask(self, mask, fill=0):
        """Moves masks along, each pixel of the result taking the value of the nearest one.

        Args:
            mask: (..., H, W) of any dtype: classes, or one mask an object or frame.
            fill: the value where the result does not show the source image.

        Returns:
            (..., h, w) of the same dtype.

        Example:

        >>> masks = placement.mask(masks)
        """
        return warp.nearest(tf.convert_to_tensor(mask), self.steps, self.sizes, fill)

    def box_masks(self, masks, boxes):
        """Moves masks along that lie on the grids of their boxes.

        Each is on the grid of what shows of its box then, see `boxes`. A place of a mask holds the
        share of it that the object covers; where a box is cut, places are shared out by their area.

        Args:
            masks: uint8 (N, M, M), shares on 0..255, M static.
            boxes: float32 (N, 4), xyxy, theirs in the source image.

        Returns:
            uint8 (N, M, M); zeros where nothing of a box shows.

        Raises:
            tf.errors.InvalidArgumentError: when run, if the image was sheared or turned.

        Example:

        >>> masks = placement.box_masks(masks, boxes)
        >>> boxes, visible = placement.boxes(boxes)
        """
        return box_masks.cut_again(tf.convert_to_tensor(masks), boxes, self.steps, self.sizes)

    def image(self, images):
        """Moves other images along, such as a depth map: bicubic with antialiasing.

        Args:
            images: (..., H, W, C), uint8 or float32, C static.

        Returns:
            float32 (..., h, w, C), black where the result does not show the source image; whole
            numbers on 0..255 for uint8.

        Raises:
            tf.errors.InvalidArgumentError: when run, if the image was sheared or turned.

        Example:

        >>> depth = placement.image(depth)
        """
        return warp.bicubic(tf.convert_to_tensor(images), self.steps, self.sizes)

    def _each(self):
        return zip(tf.unstack(self.steps), tf.unstack(self.sizes), strict=True)


def unmoved():
    """The placement of an image that stays as it is: no steps."""
    return Placement(tf.zeros((0, 2, 3)), tf.zeros((0, 2), tf.int32))


def placed(steps, size):
    """The placement by some steps.

    Args:
        steps: float32 (n, 2, 3), their maps; see `affine`.
        size: rows and columns of the result of each of them, ints or int32.

    Returns:
        A `Placement`.

    Example:

    >>> placed(affine.mirror(640)[None], (480, 640))
    """
    return Placement(steps, tf.convert_to_tensor([list(size)] * steps.shape[0], tf.int32))


def resized(box, size):
    """The placement by a cut and a resize.

    Args:
        box: int32 (4,): first row, first column, rows and columns of what was cut out.
        size: rows and columns that it was resized to, ints.

    Returns:
        A `Placement`.

    Example:

    >>> resized(random_box([480, 640], seed), (224, 224))
    """
    top, left, rows, columns = tf.unstack(tf.cast(box, tf.float32))
    scale = tf.stack([size[1] / columns, size[0] / rows])
    step = affine.stretch(scale, -scale * tf.stack([left, top]))
    return placed(step[None], size)
