"""What detections have beside their boxes: masks and keypoints, as COCO's evaluation takes them.

B images, N objects of an image, padded, D detections of an image, padded; S places a side of a mask
in its box; K keypoints; H, W rows and columns of an original image.
"""

import numpy as np
import tensorflow as tf

from training.data.sources.instance_masks import encoded
from training.evaluators.coco_evaluation import KEYPOINT_METRICS, METRICS

COCO_KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
SIGMA = 0.05  # of keypoints for which COCO has none
MIDDLE = 0.5  # COCO counts pixels by whole numbers; here these are their borders


class MaskShapes:
    """Masks: twelve metrics "mask_AP", "mask_AP50", ..., whose overlaps are those of pixels.

    `targets` have "segmentation" string (B, N), the compressed run lengths of each object in its
    original image, and "size" int32 (B, 2), rows and columns of that. `outputs` have "box_masks"
    float (B, D, S, S), probabilities on the grid of each box. They are pasted into the original
    image and count from 0.5 on.

    Attributes:
        kind: what pycocotools calls it.
        prefix: of the metrics' names.
        metrics: their names without it.
        sigmas: see `evaluated`.
    """

    kind, prefix, metrics, sigmas = "segm", "mask_", METRICS, None

    def measure(self, targets, outputs):
        """What is kept of a batch, a dict of tensors.

        All have B rows but the "letters" of all texts, one after the other: replicas put numbers
        together and no texts.
        """
        texts = targets["segmentation"]
        letters = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
        return {
            "size": targets["size"],
            "lengths": tf.strings.length(texts),
            "letters": tf.cast(letters, tf.int32),
            "shapes": tf.cast(outputs["box_masks"], tf.float32),
        }

    def on_host(self, rows):
        """What `measure` gave for a global batch, arrays that all have its rows."""
        rows = dict(rows)
        lengths, letters = rows.pop("lengths"), rows.pop("letters").astype("uint8").tobytes()
        ends = np.cumsum(lengths)
        starts = ends - lengths.ravel()
        texts = [letters[start:end] for start, end in zip(starts, ends, strict=True)]
        return rows | {"truth": np.array(texts, "object").reshape(lengths.shape)}

    def usable(self, outputs):
        """Which detections may count, boolean (B, D)."""
        return tf.ones_like(outputs["scores"], tf.bool)

    def truth(self, rows, images, places):
        """What pycocotools needs of objects, a list of dicts.

        Args:
            rows: of `on_host`.
            images: int (n,), the row of each object.
            places: int (n,), its place in that row.
        """
        sizes, counts = rows["size"].tolist(), rows["truth"]
        return [
            {"segmentation": {"size": sizes[i], "counts": counts[i, n].decode()}}
            for i, n in zip(images, places, strict=True)
        ]

    def found(self, rows, images, places, boxes):
        """The same of detections, with the boxes float64 (n, 4) of each in its original image."""
        sizes = rows["size"].tolist()
        masks = rows["shapes"][images, places]
        counts = (
            encoded(pasted(mask, box, sizes[i])).decode()
            for mask, box, i in zip(masks, boxes, images, strict=True)
        )
        return [
            {"segmentation": {"size": sizes[i], "counts": text}}
            for i, text in zip(images, counts, strict=True)
        ]

    def areas(self, found):
        """Pixels of each detection, an array (n,)."""
        from pycocotools import mask as coco_mask

        # one by one: pycocotools 2.0.11 fails on a list of more than 255
        return np.array([coco_mask.area(one["segmentation"]) for one in found], "float64")


class KeypointShapes:
    """Keypoints: ten metrics "keypoint_AP", "keypoint_AP50", ..., by object keypoint similarity.

    `targets` have "original_keypoints" float32 (B, N, K, 3), x and y in pixels of the original
    image and 0 for those that are not labelled, and "scale", see `CocoEvaluator`. `outputs` have
    "keypoints" (B, D, K, 3), x and y in pixels of the model and a score. How far a keypoint may be
    off follows from its sigma: those of COCO for the 17 of its persons, else 0.05 for each.

    Args:
        names: K strings.

    Attributes: as `MaskShapes`.
    """

    kind, prefix, metrics = "keypoints", "keypoint_", KEYPOINT_METRICS

    def __init__(self, names):
        self.count = len(names)
        self.sigmas = None if tuple(names) == COCO_KEYPOINTS else np.full(self.count, SIGMA)

    def measure(self, targets, outputs):
        """See `MaskShapes`."""
        scale = tf.cast(targets["scale"], tf.float32)[:, None, None]
        points = tf.cast(outputs["keypoints"], tf.float32)
        points = tf.concat([points[..., :2] * scale, points[..., 2:]], axis=-1)
        return {"truth": targets["original_keypoints"], "shapes": points}

    def on_host(self, rows):
        """See `MaskShapes`."""
        return rows

    def usable(self, outputs):
        """See `MaskShapes`; pycocotools takes keypoints that are NaN for perfect ones."""
        return tf.reduce_all(tf.math.is_finite(outputs["keypoints"]), axis=(2, 3))

    def truth(self, rows, images, places):
        """See `MaskShapes`."""
        points = rows["truth"][images, places].astype("float64")
        labelled = points[..., 2] > 0
        points[..., :2] = np.where(labelled[..., None], points[..., :2] - MIDDLE, 0)
        return [
            {"keypoints": own.ravel().tolist(), "num_keypoints": int(count)}
            for own, count in zip(points, labelled.sum(axis=1), strict=True)
        ]

    def found(self, rows, images, places, boxes):
        """See `MaskShapes`."""
        points = rows["shapes"][images, places].astype("float64")
        points[..., :2] -= MIDDLE
        return [{"keypoints": own.ravel().tolist()} for own in points]

    def areas(self, found):
        """Square pixels of the upright box around the keypoints of each detection."""
        points = np.array([one["keypoints"] for one in found]).reshape(len(found), self.count, 3)
        return np.ptp(points[..., :2], axis=1).prod(axis=1)


def pasted(mask, box, size):
    """A mask in the pixels of its image.

    The value of a pixel is that at its middle, interpolated between the middles of the four nearest
    places; beyond the outermost ones it falls to 0 within a place, below 0.5 beyond the box.

    Args:
        mask: float (S, S), on the grid of its box.
        box: four numbers, xyxy pixels.
        size: (rows, columns).

    Returns:
        Boolean (H, W): where the value is 0.5 or more.

    Example:

    >>> pasted(np.ones((28, 28)), (2, 1, 5, 3), (4, 6)).sum()
    6
    """
    pixels = np.zeros(size, bool)
    rows, down = _middles(box[1], box[3], len(mask), size[0])
    columns, across = _middles(box[0], box[2], len(mask), size[1])
    values = _between(np.pad(mask.astype("float64"), 1), down)
    pixels[rows, columns] = _between(values.T, across).T >= 0.5
    return pixels


def _middles(start, end, count, length):
    """The pixels whose middles lie in start..end, and where: in places from the one before."""
    first, last = (int(np.clip(np.ceil(side - 0.5), 0, length)) for side in (start, end))
    middles = np.arange(first, last) + 0.5
    return slice(first, max(first, last)), (middles - start) / (end - start) * count + 0.5


def _between(values, places):
    """Rows of values (n, ...) at places in between."""
    low = np.clip(places.astype("int64"), 0, len(values) - 2)
    share = (places - low)[:, None]
    return values[low] * (1 - share) + values[low + 1] * share
