"""What a detector gets right: the metrics of COCO, computed by pycocotools.

B images, N objects of an image, padded, D detections of an image, padded, K classes.
"""

import numpy as np
import tensorflow as tf

from training.evaluators.coco_evaluation import METRICS, evaluated
from training.evaluators.evaluator import Evaluator

# Columns of what is kept of an object and of a detection, after the image's number.
_OBJECT = ("label", "crowd", "x1", "y1", "x2", "y2", "area")
_DETECTION = ("label", "score", "x1", "y1", "x2", "y2")


class CocoEvaluator(Evaluator):
    """The twelve metrics of COCO for boxes, by pycocotools, in pixels of the original images.

    "AP" averages over IoU thresholds from 0.5 to 0.95, "AP50" and "AP75" are at one of them;
    "AR_10" is the recall with at most ten detections an image; small objects have less than 32^2
    square pixels, large ones more than 96^2. A metric is -1, as COCO has it, where there is no
    object to find: all twelve of a data set without objects or with crowds alone, "AP_small" of
    one without small objects. A data set with objects of which none is found has 0.

    `targets` is a dict: "labels" int32 (B, N) from 0, -1 for padding; "original" float32
    (B, N, 4), xyxy in pixels of the original image; "crowd" bool (B, N); "area" float32 (B, N),
    square pixels of the original image; "scale" float32 (B, 2), original pixels per pixel of the
    model in x and y; "index" int64 (B,), the image's number in the data set. `outputs` are those
    of `keras_regionvit.RetinaNet`, boxes in pixels of the model. With `shapes` both have more, and
    there are metrics of masks or keypoints beside those of boxes, of which "mask_AP" or
    "keypoint_AP" is watched; as files of results alone have it, small and large detections are so
    by their masks, or by the boxes around their keypoints.

    Args:
        category_ids: K integers, the data set's own number of each class.
        image_ids: optional, the data set's own name of each image: a dict or a sequence that is
            asked for `image_ids[index]`; `index` itself if `None`.
        class_names: optional, K names for the table; the numbers if `None`.
        shapes: optional, a `MaskShapes` or `KeypointShapes`.

    Raises:
        ValueError: a category is listed twice.

    Example:

    >>> evaluator = CocoEvaluator(category_ids=[1, 3, 17])
    >>> evaluate(evaluation_step(strategy, detector, evaluator), evaluator, batches)["AP"]
    """

    mode = "max"

    def __init__(self, category_ids, image_ids=None, class_names=None, shapes=None):
        self.category_ids = [int(number) for number in category_ids]
        if len(set(self.category_ids)) < len(self.category_ids):
            raise ValueError("`category_ids` must have each number once; one is there twice.")
        self.image_ids = image_ids
        self.class_names = tuple(class_names or map(str, self.category_ids))
        self.shapes = shapes
        self.monitor = f"{shapes.prefix}AP" if shapes else "AP"
        self.reset()

    def reset(self):
        """Forgets all batches."""
        self._table: list[dict] = []
        self._images = [np.zeros(0, "int64")]
        self._objects, self._detections = _Rows(_OBJECT), _Rows(_DETECTION)

    def measure(self, targets, outputs, weights):
        """No sums; rows of objects (B, N, 7) and detections (B, D, 6), numbers and weights (B,).

        And what `shapes` keeps.
        """
        boxes = tf.cast(outputs["boxes"], tf.float32)
        scale = tf.tile(tf.cast(targets["scale"], tf.float32), (1, 2))  # (B, 2) to (B, 4)
        found = tf.range(tf.shape(boxes)[1]) < outputs["count"][:, None]
        if self.shapes:
            found &= self.shapes.usable(outputs)
        classes = tf.where(found, outputs["classes"], -1)
        rows = {
            "index": tf.cast(targets["index"], tf.int64),
            "weights": weights,
            "objects": _columns(
                targets["labels"], targets["crowd"], targets["original"], targets["area"]
            ),
            "detections": _columns(classes, outputs["scores"], boxes * scale[:, None]),
        }
        return (), rows | (self.shapes.measure(targets, outputs) if self.shapes else {})

    def update(self, sums, rows):
        """Takes what `measure` gave for a global batch.

        Raises:
            ValueError: an object or a detection is of a class that is not known.
        """
        rows = {name: np.asarray(row) for name, row in rows.items()}
        if self.shapes:
            rows = self.shapes.on_host(rows)
        rows = {name: row[rows["weights"] > 0] for name, row in rows.items()}
        places = [np.nonzero(rows[name][..., 0] >= 0) for name in ("objects", "detections")]
        index = rows["index"]
        objects, found = (
            np.column_stack([index[where[0]], rows[name][where].astype("float64")])
            for name, where in zip(("objects", "detections"), places, strict=True)
        )
        for name, labels in (("labels", objects[:, 1]), ("classes", found[:, 1])):
            if labels.max(initial=0) >= len(self.category_ids):
                raise ValueError(
                    f'"{name}" must lie in [0, {len(self.category_ids)}), the number of '
                    f"categories. Received: {labels.max():.0f}"
                )
        # pycocotools takes a box that is NaN for a perfect one
        finite = np.isfinite(found).all(axis=1)
        found, where = found[finite], [axis[finite] for axis in places[1]]
        self._images.append(index)
        shapes = self.shapes
        self._objects.add(objects, shapes.truth(rows, *places[0]) if shapes else ())
        self._detections.add(found, shapes.found(rows, *where, found[:, 3:]) if shapes else ())

    @property
    def count(self):
        """How many images counted."""
        return sum(map(len, self._images))

    def result(self):
        """The metrics so far, a dict of floats."""
        if not self.count:
            raise ValueError("there is not a single image to evaluate on.")
        images = np.sort(np.concatenate(self._images))
        if (images[1:] == images[:-1]).any():
            raise ValueError(
                f"every image must be evaluated once; {images[1:][images[1:] == images[:-1]][0]} "
                "was there twice."
            )
        objects, found = self._objects.by_image(), self._detections.by_image()
        metrics: dict[str, float] = {}
        self._table = [{"name": name} for name in self.class_names]
        boxes = ("bbox", "", METRICS, None)
        shapes = self.shapes
        own = [(shapes.kind, shapes.prefix, shapes.metrics, shapes.sigmas)] if shapes else []
        for kind, prefix, names, sigmas in (boxes, *own):
            sizes = shapes.areas(found[1]) if prefix else _width_height(found[0]).prod(axis=1)
            evaluation = evaluated(
                kind,
                images.tolist(),
                len(self.category_ids),
                _records(
                    *objects,
                    area=objects[0][:, -1],
                    iscrowd=objects[0][:, 2].astype("int64"),
                ),
                _records(*found, area=sizes, score=found[0][:, 2]),
                sigmas,
            )
            values = map(float, evaluation.stats)
            metrics |= {prefix + name: value for name, value in zip(names, values, strict=True)}
            for row, more in zip(self._table, _by_class(evaluation, prefix), strict=True):
                row |= more
        labels = objects[0][objects[0][:, 2] == 0, 1].astype("int64")  # without crowds
        counts = np.bincount(labels, minlength=len(self._table)).tolist()
        for row, count in zip(self._table, counts, strict=True):
            row["objects"] = count
        return metrics

    def table(self):
        """What each class has, as of the last `result`.

        Returns:
            A list of K dicts: "name", "AP", "AP50", "AP75", -1 where there is nothing to find, the
            same of masks or keypoints, and "objects", how many there are to find.

        Example:

        >>> evaluator.table()[0]["AP"]
        """
        return self._table

    def detections(self):
        """All detections as COCO's result file has them.

        Returns:
            A list of dicts, by images, the best first: "image_id", "category_id", "bbox" (x, y,
            width, height in pixels of the original image) and "score"; of masks "segmentation",
            compressed run lengths, of keypoints "keypoints", x, y and score by turns.

        Example:

        >>> json.dump(evaluator.detections(), file)
        """
        found, more = self._detections.by_image()
        name = self.image_ids.__getitem__ if self.image_ids is not None else int
        return [
            {
                **record,
                "image_id": name(record["image_id"]),
                "category_id": self.category_ids[record["category_id"]],
            }
            for record in _records(found, more, score=found[:, 2])
        ]


def _by_class(evaluation, prefix):
    """What an evaluation says of each class, dicts for `table`."""
    # (thresholds, recalls, classes) of all areas and as many detections as count
    precision = evaluation.eval["precision"][..., 0, -1]
    for k in range(precision.shape[2]):
        own = precision[:, :, k]
        values = {"AP": own, "AP50": own[0], "AP75": own[5]}
        # -1 without any
        yield {prefix + key: float(value.mean()) for key, value in values.items()}


class _Rows:
    """Rows that come batch by batch, each with the number of its image first.

    Args:
        columns: names of the others.
    """

    def __init__(self, columns):
        self.batches, self.more = [np.zeros((0, 1 + len(columns)))], []

    def add(self, rows, more):
        """Takes rows (n, columns) and n dicts of what else there is of each, or none."""
        self.batches.append(rows)
        self.more.extend(more)

    def by_image(self):
        """All rows and their dicts, ordered by images; those of one image stay in their order."""
        rows = np.concatenate(self.batches)
        order = np.argsort(rows[:, 0], kind="stable")
        return rows[order], [self.more[place] for place in order] if self.more else []


def _columns(*values):
    """Tensors (B, n) and (B, n, m) as columns of one, float32."""
    columns = [tf.cast(value, tf.float32) for value in values]
    return tf.concat([x if x.shape.rank == 3 else x[..., None] for x in columns], axis=-1)


def _width_height(rows):
    """Of the boxes in columns 3 to 6, (n, 2)."""
    return rows[:, 5:7] - rows[:, 3:5]


def _records(rows, more, **columns):
    """Rows (n, 7 or more) as dicts of COCO's words, with `columns` and `more` of each."""
    columns = {
        "image_id": rows[:, 0].astype("int64"),
        "category_id": rows[:, 1].astype("int64"),
        "bbox": np.hstack([rows[:, 3:5], _width_height(rows)]),
        **columns,
    }
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    records = [dict(zip(columns, value, strict=True)) for value in values]
    for record, others in zip(records, more or (), strict=bool(more)):
        record |= others
    return records
