"""From what a head says of regions to detections.

B images, P regions of an image, K classes, C candidates, D detections at most.
"""

import keras
from keras import ops

from keras_regionvit.tasks.detection import boxes as box_ops
from keras_regionvit.tasks.detection.nms import class_wise_nms

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RegionDecoder(keras.layers.Layer):
    """The detections of a two-stage detector.

    The best `candidates` pairs of region and class above `score_threshold` are decoded, each with
    the box of its class, and cut off at the image's borders; then each class is suppressed for
    itself.

    Args:
        num_classes: int K.
        score_threshold: float on 0..1.
        iou_threshold: float on 0..1, of the suppression.
        max_detections: int D.
        candidates: int C, of an image.

    Input: `{"image": (B, H, W, channels), "boxes": (B, P, 4), "real": bool (B, P), "scores":
    logits (B * P, K + 1), the background last, "deltas": (B * P, 4 * K)}`.

    Output: as of `keras_regionvit.tasks.detection.decoding.RetinaNetDecoder`.

    Example:

    >>> RegionDecoder(80)({"image": images, **proposals, "scores": scores, "deltas": deltas})
    """

    def __init__(
        self,
        num_classes,
        score_threshold=0.05,
        iou_threshold=0.5,
        max_detections=100,
        candidates=4000,
        **kwargs,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.num_classes = num_classes
        self.score_threshold = score_threshold
        self.iou_threshold = iou_threshold
        self.max_detections = max_detections
        self.candidates = candidates

    def call(self, inputs):
        """The detections."""
        _, height, width, _ = ops.shape(inputs["image"])
        regions, classes = inputs["boxes"], self.num_classes
        count = regions.shape[1]
        scores = ops.softmax(inputs["scores"], axis=-1)[:, :classes]
        scores = ops.reshape(scores, (-1, count, classes))  # from (B * P, K)
        scores = ops.where(inputs["real"][..., None], scores, 0.0)
        pairs = count * classes
        # (B, P, K) -> (B, P * K)
        top, index = ops.top_k(ops.reshape(scores, (-1, pairs)), min(self.candidates, pairs))
        deltas = ops.reshape(inputs["deltas"], (-1, pairs, 4))  # from (B * P, 4 * K)
        boxes = box_ops.decode(
            ops.take_along_axis(deltas, index[..., None], 1),
            ops.take_along_axis(regions, (index // classes)[..., None], 1),
            BOX_WEIGHTS,
        )
        return class_wise_nms(
            box_ops.clip(boxes, height, width),
            top,
            index % classes,
            iou_threshold=self.iou_threshold,
            score_threshold=self.score_threshold,
            max_detections=self.max_detections,
        )

    def compute_output_spec(self, inputs):
        """The shapes with their dtypes."""
        batch, most = inputs["image"].shape[0], self.max_detections
        return {
            "boxes": keras.KerasTensor((batch, most, 4), "float32"),
            "scores": keras.KerasTensor((batch, most), "float32"),
            "classes": keras.KerasTensor((batch, most), "int32"),
            "count": keras.KerasTensor((batch,), "int32"),
        }

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "score_threshold": self.score_threshold,
            "iou_threshold": self.iou_threshold,
            "max_detections": self.max_detections,
            "candidates": self.candidates,
        }
