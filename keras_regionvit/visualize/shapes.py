"""Masks and keypoints of objects: checked, painted over an image, drawn into one.

n objects of an image, H W its pixels, J keypoints of an object.
"""

import numpy as np

OPACITY = 0.5  # of a mask


def shapes_of(name, value, count, image):
    """The masks and keypoints among what is known of an image's objects.

    Args:
        name: of the argument.
        value: a dict, perhaps with "masks", integers or booleans (n, H, W), and "keypoints",
            (n, J, 3).
        count: n.
        image: (H, W) or (H, W, 3).

    Returns:
        A dict of those that there are: "masks", bool, and "keypoints", float64.

    Raises:
        ValueError: a shape or dtype is another.

    Example:

    >>> shapes_of("detections", {"keypoints": np.zeros((1, 17, 3))}, 1, image)["keypoints"].shape
    (1, 17, 3)
    """
    found = {}
    if "masks" in value and count:
        masks = np.asarray(value["masks"])
        if masks.shape != (count, *image.shape[:2]) or masks.dtype.kind not in "biu":
            raise ValueError(
                f"`{name}` must have integers or booleans of the shape {(count, *image.shape[:2])} "
                f'under "masks". Received: {masks.dtype} of the shape {masks.shape}'
            )
        found["masks"] = masks != 0
    if "keypoints" in value and count:
        points = np.asarray(value["keypoints"], "float64")
        if points.ndim != 3 or points.shape[::2] != (count, 3):
            raise ValueError(
                f'`{name}` must have the shape ({count}, J, 3) under "keypoints". '
                f"Received: {points.shape}"
            )
        found["keypoints"] = points
    return found


def checked_edges(edges, keypoints):
    """Refuses edges that do not lie between two keypoints.

    Args:
        edges: pairs of numbers of keypoints.
        keypoints: (n, J, 3).

    Returns:
        A list of pairs of ints.

    Raises:
        ValueError: an edge is no pair of integers in [0, J).
    """
    pairs, most = np.asarray(edges), keypoints.shape[1]
    if pairs.size == 0:
        return []
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ValueError(
            "`edges` must be pairs of numbers of keypoints. "
            f"Received: {pairs.dtype} of the shape {pairs.shape}"
        )
    if pairs.min() < 0 or pairs.max() >= most:
        raise ValueError(
            f"`edges` must lie in [0, {most}), as there are {most} keypoints. "
            f"Received: {pairs.min()} to {pairs.max()}"
        )
    return pairs.tolist()


def painted(image, masks, colors):
    """An image under the masks of its objects, the last on top.

    Args:
        image: float32 (H, W) or (H, W, 3) on 0..1.
        masks: bool (n, H, W).
        colors: float32 (n, 3).

    Returns:
        float32 (H, W, 3).

    Example:

    >>> painted(np.zeros((2, 2), "float32"), np.ones((1, 2, 2), bool), [[1.0, 0, 0]])[0, 0]
    array([0.5, 0. , 0. ], dtype=float32)
    """
    image = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image.copy()
    for mask, color in zip(masks, colors, strict=True):
        image[mask] = (1 - OPACITY) * image[mask] + OPACITY * np.asarray(color)
    return image


def draw_keypoints(axes, points, color, edges):
    """Draws the keypoints of an object whose third number is above 0, and edges between them.

    Args:
        axes: of matplotlib.
        points: float (J, 3): x and y in pixels, then a score, or 0 for none.
        color: (3,), RGB.
        edges: pairs of numbers of keypoints.
    """
    there = points[:, 2] > 0
    x, y = points[:, 0] - 0.5, points[:, 1] - 0.5  # the first pixel's middle is at 0
    for a, b in edges:
        if there[a] and there[b]:
            axes.plot(x[[a, b]], y[[a, b]], color=color, linewidth=1.2)
    dots = {"linestyle": "none", "marker": "o", "markersize": 3.5, "markeredgewidth": 0.5}
    axes.plot(x[there], y[there], color=color, markeredgecolor="white", **dots)
