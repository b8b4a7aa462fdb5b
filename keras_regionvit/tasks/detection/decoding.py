"""From what a head says of its anchors to detections.

B images, h w a map's size, A anchors a place, K classes, N candidates, D detections at most.
"""

import keras
from keras import ops

from keras_regionvit.tasks.detection import boxes as box_ops
from keras_regionvit.tasks.detection.anchors import level_anchors, retinanet_sizes
from keras_regionvit.tasks.detection.nms import class_wise_nms


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RetinaNetDecoder(keras.layers.Layer):
    """The detections of a RetinaNet.

    Of each level the best `candidates` pairs of anchor and class above `score_threshold` are
    decoded and cut off at the image's borders; then each class is suppressed for itself.

    Args:
        levels: ints, of the pyramid.
        num_classes: int K.
        score_threshold: float on 0..1.
        iou_threshold: float on 0..1, of the suppression.
        max_detections: int D.
        candidates: int, of a level.

    Input: the image (B, H, W, channels) and, for each level, logits (B, h, w, A * K) and deltas
    (B, h, w, A * 4), `{"image": ..., "p3_logits": ..., "p3_deltas": ..., ...}`.

    Output: `{"boxes": (B, D, 4), "scores": (B, D), "classes": int32 (B, D), "count": int32 (B,)}`,
    boxes xyxy in pixels of the image; after `count` boxes and scores are 0 and classes -1.

    Example:

    >>> RetinaNetDecoder((3, 4, 5, 6, 7), 80)({"image": images, **outputs})["count"]
    """

    def __init__(
        self,
        levels,
        num_classes,
        score_threshold=0.05,
        iou_threshold=0.5,
        max_detections=100,
        candidates=1000,
        **kwargs,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.levels = tuple(levels)
        self.num_classes = num_classes
        self.score_threshold = score_threshold
        self.iou_threshold = iou_threshold
        self.max_detections = max_detections
        self.candidates = candidates

    def call(self, inputs):
        """The detections."""
        _, height, width, _ = ops.shape(inputs["image"])
        found = [self._candidates(level, inputs) for level in self.levels]
        boxes, scores, classes = (ops.concatenate(parts, 1) for parts in zip(*found, strict=True))
        return class_wise_nms(
            box_ops.clip(boxes, height, width),
            scores,
            classes,
            iou_threshold=self.iou_threshold,
            score_threshold=self.score_threshold,
            max_detections=self.max_detections,
        )

    def _candidates(self, level, inputs):
        """`(boxes (B, N, 4), scores (B, N), classes (B, N))` of a level, the best first."""
        logits, deltas = inputs[f"p{level}_logits"], inputs[f"p{level}_deltas"]
        batch, rows, columns, _ = ops.shape(logits)
        pairs = rows * columns * logits.shape[-1]
        # (B, h, w, A * K) -> (B, h * w * A * K)
        top, index = ops.top_k(ops.reshape(logits, (batch, pairs)), self._count(pairs))
        anchor = index // self.num_classes
        deltas = ops.reshape(deltas, (batch, -1, 4))  # (B, h, w, A * 4) -> (B, h * w * A, 4)
        anchors = level_anchors(rows, columns, 2**level, retinanet_sizes(level))
        boxes = box_ops.decode(
            ops.take_along_axis(deltas, anchor[..., None], 1), ops.take(anchors, anchor, axis=0)
        )
        return boxes, ops.sigmoid(top), index % self.num_classes

    def _count(self, pairs):
        """How many candidates a level with so many pairs of anchor and class has."""
        if isinstance(pairs, int):
            return min(self.candidates, pairs)
        return ops.minimum(self.candidates, pairs)

    def compute_output_shape(self, input_shape):
        """Static but for the batch."""
        batch, most = input_shape["image"][0], self.max_detections
        return {
            "boxes": (batch, most, 4),
            "scores": (batch, most),
            "classes": (batch, most),
            "count": (batch,),
        }

    def compute_output_spec(self, inputs):
        """The shapes with their dtypes."""
        shapes = self.compute_output_shape({"image": inputs["image"].shape})
        whole = ("classes", "count")
        return {
            name: keras.KerasTensor(shape, "int32" if name in whole else "float32")
            for name, shape in shapes.items()
        }

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "levels": self.levels,
            "num_classes": self.num_classes,
            "score_threshold": self.score_threshold,
            "iou_threshold": self.iou_threshold,
            "max_detections": self.max_detections,
            "candidates": self.candidates,
        }
