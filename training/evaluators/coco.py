"""What a detector gets right: the twelve metrics of COCO, computed by pycocotools.

B images, N objects of an image, padded, D detections of an image, padded, K classes.
"""

import contextlib
import gc
import io

import numpy as np
import tensorflow as tf

from training.evaluators.evaluator import Evaluator

METRICS = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR_1",
    "AR_10",
    "AR_100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
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
    of `keras_regionvit.RetinaNet`, boxes in pixels of the model.

    Args:
        category_ids: K integers, the data set's own number of each class.
        image_ids: optional, the data set's own name of each image: a dict or a sequence that is
            asked for `image_ids[index]`; `index` itself if `None`.
        class_names: optional, K names for the table; the numbers if `None`.

    Raises:
        ValueError: a category is listed twice.

    Example:

    >>> evaluator = CocoEvaluator(category_ids=[1, 3, 17])
    >>> evaluate(evaluation_step(strategy, detector, evaluator), evaluator, batches)["AP"]
    """

    monitor = "AP"
    mode = "max"

    def __init__(self, category_ids, image_ids=None, class_names=None):
        self.category_ids = [int(number) for number in category_ids]
        if len(set(self.category_ids)) < len(self.category_ids):
            raise ValueError("`category_ids` must have each number once; one is there twice.")
        self.image_ids = image_ids
        self.class_names = tuple(class_names or map(str, self.category_ids))
        self.reset()

    def reset(self):
        """Forgets all batches."""
        self._table: list[dict] = []
        self._images = [np.zeros(0, "int64")]
        self._objects = [np.zeros((0, 1 + len(_OBJECT)))]
        self._detections = [np.zeros((0, 1 + len(_DETECTION)))]

    def measure(self, targets, outputs, weights):
        """No sums; rows of objects (B, N, 7) and detections (B, D, 6), numbers and weights (B,)."""
        boxes = tf.cast(outputs["boxes"], tf.float32)
        scale = tf.tile(tf.cast(targets["scale"], tf.float32), (1, 2))  # (B, 2) to (B, 4)
        found = tf.range(tf.shape(boxes)[1]) < outputs["count"][:, None]
        classes = tf.where(found, outputs["classes"], -1)
        rows = {
            "index": tf.cast(targets["index"], tf.int64),
            "weights": weights,
            "objects": _columns(
                targets["labels"], targets["crowd"], targets["original"], targets["area"]
            ),
            "detections": _columns(classes, outputs["scores"], boxes * scale[:, None]),
        }
        return (), rows

    def update(self, sums, rows):
        """Takes what `measure` gave for a global batch.

        Raises:
            ValueError: an object or a detection is of a class that is not known.
        """
        rows = {name: np.asarray(row) for name, row in rows.items()}
        counts = rows["weights"] > 0
        index = rows["index"][counts]
        objects = _flat(index, rows["objects"][counts])
        found = _flat(index, rows["detections"][counts])
        for name, labels in (("labels", objects[:, 1]), ("classes", found[:, 1])):
            if labels.max(initial=0) >= len(self.category_ids):
                raise ValueError(
                    f'"{name}" must lie in [0, {len(self.category_ids)}), the number of '
                    f"categories. Received: {labels.max():.0f}"
                )
        self._images.append(index)
        self._objects.append(objects)
        # pycocotools takes a box that is NaN for a perfect one
        self._detections.append(found[np.isfinite(found).all(axis=1)])

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
        objects, found = _by_image(self._objects), _by_image(self._detections)
        evaluation = _evaluated(
            images.tolist(),
            len(self.category_ids),
            _records(objects, area=objects[:, -1], iscrowd=objects[:, 2].astype("int64")),
            _records(found, area=_width_height(found).prod(axis=1), score=found[:, 2]),
        )
        self._table = self._by_class(evaluation, objects)
        return _metrics(evaluation)

    def _by_class(self, evaluation, objects):
        """The rows of `table`."""
        classes = objects[objects[:, 2] == 0, 1].astype("int64")  # without crowds
        counts = np.bincount(classes, minlength=len(self.class_names)).tolist()
        # (thresholds, recalls, classes) of all areas and 100 detections
        precision = evaluation.eval["precision"][..., 0, -1]
        rows = []
        for k, name in enumerate(self.class_names):
            own = precision[:, :, k]
            values = {"AP": own, "AP50": own[0], "AP75": own[5]}
            means = {key: float(value.mean()) for key, value in values.items()}  # -1 without any
            rows.append({"name": name, **means, "objects": counts[k]})
        return rows

    def table(self):
        """What each class has, as of the last `result`.

        Returns:
            A list of K dicts: "name", "AP", "AP50", "AP75", -1 where there is nothing to find, and
            "objects", how many there are to find.

        Example:

        >>> evaluator.table()[0]["AP"]
        """
        return self._table

    def detections(self):
        """All detections as COCO's result file has them.

        Returns:
            A list of dicts, by images, the best first: "image_id", "category_id", "bbox" (x, y,
            width, height in pixels of the original image) and "score".

        Example:

        >>> json.dump(evaluator.detections(), file)
        """
        found = _by_image(self._detections)
        name = self.image_ids.__getitem__ if self.image_ids is not None else int
        return [
            {
                "image_id": name(record["image_id"]),
                "category_id": self.category_ids[record["category_id"]],
                "bbox": record["bbox"],
                "score": record["score"],
            }
            for record in _records(found, score=found[:, 2])
        ]


def coco_metrics(images, classes, objects, detections):
    """The twelve metrics by pycocotools.

    Args:
        images: list of the images' numbers.
        classes: int K; categories are 0 to K - 1.
        objects: list of dicts with "image_id", "category_id", "bbox" (x, y, width, height),
            "area" and "iscrowd"; changed on the way.
        detections: likewise with "score" in place of "iscrowd".

    Returns:
        A dict of floats, see `CocoEvaluator`.

    Example:

    >>> coco_metrics([0, 1], 2, objects, detections)["AP50"]
    """
    return _metrics(_evaluated(images, classes, objects, detections))


def _metrics(evaluation):
    return dict(zip(METRICS, map(float, evaluation.stats), strict=True))


def _evaluated(images, classes, objects, detections):
    """The evaluation of pycocotools, with its `stats`."""
    from pycocotools.coco import COCO  # here: only detectors need it

    from training.evaluators.box_evaluation import BoxEvaluation

    def in_memory(annotations):
        for number, annotation in enumerate(annotations, 1):
            annotation["id"] = number
        data = COCO()
        data.dataset = {
            "images": [{"id": image} for image in images],
            "categories": [{"id": category} for category in range(classes)],
            "annotations": annotations,
        }
        data.createIndex()
        return data

    with contextlib.redirect_stdout(io.StringIO()), _collector_off():  # pycocotools prints
        # `loadRes`, the usual way, fails without detections
        evaluation = BoxEvaluation(in_memory(objects), in_memory(detections))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@contextlib.contextmanager
def _collector_off():
    """Without the garbage collector, which took a quarter of the time of 500,000 detections."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _columns(*values):
    """Tensors (B, n) and (B, n, m) as columns of one, float32."""
    columns = [tf.cast(value, tf.float32) for value in values]
    return tf.concat([x if x.shape.rank == 3 else x[..., None] for x in columns], axis=-1)


def _flat(index, rows):
    """What is no padding of (B, n, m), each after its image's number: float64 (all, 1 + m)."""
    image, place = np.nonzero(rows[..., 0] >= 0)
    return np.column_stack([index[image], rows[image, place].astype("float64")])


def _by_image(batches):
    """All rows, ordered by images; those of one image stay in their order."""
    rows = np.concatenate(batches)
    return rows[np.argsort(rows[:, 0], kind="stable")]


def _width_height(rows):
    """Of the boxes in columns 3 to 6, (n, 2)."""
    return rows[:, 5:7] - rows[:, 3:5]


def _records(rows, **more):
    """Rows (n, 7 or more) as dicts of COCO's words, with `more` of each."""
    columns = {
        "image_id": rows[:, 0].astype("int64"),
        "category_id": rows[:, 1].astype("int64"),
        "bbox": np.hstack([rows[:, 3:5], _width_height(rows)]),
        **more,
    }
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, value, strict=True)) for value in values]
