"""What a segmentation model gets right: one confusion matrix over all pixels.

B images, H W their pixels, K classes.
"""

import numpy as np
import tensorflow as tf

from training.evaluators.evaluator import Evaluator

NO_CLASS = 255  # of a pixel in a mask


class MeanIoUEvaluator(Evaluator):
    """`mean_iou`, `pixel_accuracy` and `mean_accuracy` over the pixels that have a class.

    The IoU of a class is what truth and prediction share of it over what either has, in all images
    together; `mean_iou` is the mean over the classes that occur in truth or prediction. The
    accuracy of a class is the share of its pixels that are right; `mean_accuracy` is the mean over
    the classes that occur in the truth, `pixel_accuracy` the share of all pixels.

    `targets` is a dict with "mask", integers (B, H, W): classes from 0, 255 where a pixel has
    none. `outputs` are logits (B, H, W, K).

    Args:
        class_names: K names.

    Raises:
        ValueError: there is no name, or more than 255.

    Example:

    >>> evaluator = MeanIoUEvaluator(["wall", "sky"])
    >>> evaluate(evaluation_step(strategy, model, evaluator), evaluator, batches)["mean_iou"]
    """

    monitor = "mean_iou"
    mode = "max"

    def __init__(self, class_names):
        self.class_names = tuple(class_names)
        if not 1 <= len(self.class_names) <= NO_CLASS:
            raise ValueError(
                f"`class_names` must have 1 to {NO_CLASS} names. Received: {len(self.class_names)}"
            )
        self.reset()

    def reset(self):
        """Forgets all batches."""
        self.confusion = np.zeros((len(self.class_names),) * 2, "int64")
        self.images = 0

    def measure(self, targets, outputs, weights):
        """Sums: "confusion" (K, K), truth in rows; "images"; "outside", pixels of no known class.

        All are int64: float32 cannot count the pixels of 50 photos exactly.
        """
        classes = len(self.class_names)
        mask = tf.cast(targets["mask"], tf.int32)
        counts = (mask != NO_CLASS) & (weights > 0)[:, None, None]
        known = counts & (mask >= 0) & (mask < classes)
        pairs = mask * classes + tf.argmax(outputs, -1, tf.int32)
        confusion = tf.math.bincount(
            tf.boolean_mask(pairs, known),
            minlength=classes**2,
            maxlength=classes**2,
            dtype=tf.int64,
        )
        sums = {
            "confusion": tf.reshape(confusion, (classes, classes)),
            "images": tf.math.count_nonzero(weights),
            "outside": tf.math.count_nonzero(counts & ~known),
        }
        return sums, ()

    def update(self, sums, rows):
        """Takes what `measure` gave for a global batch.

        Raises:
            ValueError: a mask has a class that is not known.
        """
        outside = int(sums["outside"])
        if outside:
            raise ValueError(
                f"a mask must hold classes in [0, {len(self.class_names)}), or {NO_CLASS} for "
                f"none; {outside} pixels of a batch have others."
            )
        self.confusion += np.asarray(sums["confusion"])
        self.images += int(sums["images"])

    @property
    def count(self):
        """How many images counted."""
        return self.images

    def result(self):
        """The metrics so far, a dict of floats.

        Raises:
            ValueError: no image counted, or no pixel of any has a class.
        """
        pixels = self.confusion.sum()
        if not pixels:
            raise ValueError(
                "there is not a single image to evaluate on."
                if not self.count
                else "there is not a single pixel with a class to evaluate on."
            )
        iou, accuracy = _by_class(self.confusion)
        return {
            "mean_iou": float(np.nanmean(iou)),
            "pixel_accuracy": float(np.trace(self.confusion) / pixels),
            "mean_accuracy": float(np.nanmean(accuracy)),
        }

    def table(self):
        """What each class has.

        Returns:
            A list of K dicts: "name", "iou", "accuracy" (NaN where the class does not occur) and
            "pixels" of the truth.

        Example:

        >>> evaluator.table()[0]["iou"]
        """
        columns = (*_by_class(self.confusion), self.confusion.sum(axis=1))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [
            {"name": name, "iou": iou, "accuracy": accuracy, "pixels": pixels}
            for name, (iou, accuracy, pixels) in zip(self.class_names, rows, strict=True)
        ]


class PhotoSizeEvaluator(MeanIoUEvaluator):
    """The same metrics in the photos' own sizes: predictions are resized, the truth stays.

    `targets` is a dict with "original", PNGs (B,) of masks in any size, and "scale" float32 (B, 2),
    rows and columns of the canvas for one of the photo, which lies at the top left. A pixel has the
    class of the nearest one of the canvas, as a served mask has it. For one device.

    Example:

    >>> evaluator = PhotoSizeEvaluator(["wall", "sky"])
    """

    def measure(self, targets, outputs, weights):
        """No sums; rows of masks uint8 (B, H, W), targets and weights."""
        found = tf.cast(tf.argmax(outputs, -1, tf.int32), tf.uint8)  # 255 classes at most
        return (), {**targets, "found": found, "weights": weights}

    def update(self, sums, rows):
        """Takes what `measure` gave for a batch.

        Raises:
            ValueError: a mask has a class that is not known.
        """
        rows = {name: np.asarray(row) for name, row in rows.items()}
        for i in np.flatnonzero(rows["weights"] > 0):
            truth = np.asarray(tf.io.decode_png(rows["original"][i], 1))[..., 0]
            self._add(truth, _resized(rows["found"][i], truth.shape, rows["scale"][i]))

    def _add(self, truth, found):
        """Counts the pixels of a photo, uint8 (H, W) each."""
        classes = len(self.class_names)
        real = truth != NO_CLASS
        outside = np.count_nonzero(truth[real] >= classes)
        if not outside:
            pairs = truth[real].astype("int64") * classes + found[real]
            counts = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
            super().update({"confusion": counts, "images": 1, "outside": 0}, ())
        else:
            super().update({"outside": outside}, ())


def _resized(mask, shape, scale):
    """The part of a canvas (h, w) that a photo fills, in the photo's `shape`, by nearest pixels."""
    places = []
    for count, step, most in zip(shape, scale.astype("float32"), mask.shape, strict=True):
        middles = np.arange(count, dtype="float32") + np.float32(0.5)
        # in float32, as TensorFlow resizes served masks
        places.append(np.minimum((middles * step).astype("int64"), most - 1))
    return mask[np.ix_(*places)]


def _by_class(confusion):
    """IoU and accuracy of each class, two arrays (K,), NaN where it does not occur."""
    right, truth = np.diagonal(confusion), confusion.sum(axis=1)
    either = truth + confusion.sum(axis=0) - right
    return (np.where(whole > 0, right / np.maximum(whole, 1), np.nan) for whole in (either, truth))
