"""From what a region proposal network says to regions that are worth a closer look.

B images, P proposals of an image.
"""

import keras
from keras import ops

from keras_regionvit.tasks.detection import boxes as box_ops
from keras_regionvit.tasks.detection.nms import kept
from keras_regionvit.tasks.detection.rpn import anchors_and_outputs

NOTHING = -1e9  # the score of a proposal that is none


def propose(outputs, height, width, *, candidates, count, iou_threshold):
    """The best boxes of all levels.

    Of each level the best `candidates` are decoded, cut off at the image's borders and suppressed
    among themselves; of what stays on all levels the best `count` are taken.

    Args:
        outputs: of `keras_regionvit.tasks.detection.rpn.rpn_head`, tensors.
        height: int or integer scalar tensor, of the image in pixels.
        width: likewise.
        candidates: int, of a level.
        count: int P.
        iou_threshold: float; of two boxes of a level that share more the better stays.

    Returns:
        `(boxes float32 (B, P, 4), real bool (B, P))`, the best first; boxes that are not real are
        zeros. No gradient goes through them.

    Example:

    >>> propose(outputs, 672, 1120, candidates=1000, count=1000, iou_threshold=0.7)
    """
    boxes, scores = [], []
    for anchors, objectness, deltas in anchors_and_outputs(outputs):
        objectness, deltas = ops.stop_gradient(objectness), ops.stop_gradient(deltas)
        size = ops.shape(objectness)[1]
        known = isinstance(size, int)
        most = min(candidates, size) if known else ops.minimum(candidates, size)
        top, index = ops.top_k(objectness, most)
        found = box_ops.decode(
            ops.take_along_axis(deltas, index[..., None], 1), ops.take(anchors, index, axis=0)
        )
        found = box_ops.clip(found, height, width)
        stays = kept(found, box_ops.areas(found) > 0, iou_threshold)
        boxes.append(found)
        scores.append(ops.where(stays, top, NOTHING))
    boxes, scores = ops.concatenate(boxes, 1), ops.concatenate(scores, 1)
    # padding, so that there are always P
    scores = ops.pad(scores, [(0, 0), (0, count)], constant_values=NOTHING)
    boxes = ops.pad(boxes, [(0, 0), (0, count), (0, 0)])
    top, index = ops.top_k(scores, count)
    real = top > NOTHING
    boxes = ops.take_along_axis(boxes, index[..., None], 1)
    return ops.where(real[..., None], boxes, 0.0), real


@keras.saving.register_keras_serializable(package="keras_regionvit")
class Proposals(keras.layers.Layer):
    """The proposals of a prediction, see `propose`.

    Args:
        candidates: int, of a level.
        count: int P.
        iou_threshold: float on 0..1.

    Input: the image (B, H, W, channels) and what the head says,
    `{"image": ..., "p2_objectness": ..., "p2_deltas": ..., ...}`.

    Output: `{"boxes": float32 (B, P, 4), "real": bool (B, P)}`.

    Example:

    >>> Proposals()({"image": images, **outputs})["boxes"]
    """

    def __init__(self, candidates=1000, count=1000, iou_threshold=0.7, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.candidates, self.count, self.iou_threshold = candidates, count, iou_threshold

    def call(self, inputs):
        """The proposals."""
        _, height, width, _ = ops.shape(inputs["image"])
        outputs = {name: value for name, value in inputs.items() if name != "image"}
        boxes, real = propose(
            outputs,
            height,
            width,
            candidates=self.candidates,
            count=self.count,
            iou_threshold=self.iou_threshold,
        )
        return {"boxes": boxes, "real": real}

    def compute_output_spec(self, inputs):
        """Static but for the batch."""
        batch = inputs["image"].shape[0]
        return {
            "boxes": keras.KerasTensor((batch, self.count, 4), "float32"),
            "real": keras.KerasTensor((batch, self.count), "bool"),
        }

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "candidates": self.candidates,
            "count": self.count,
            "iou_threshold": self.iou_threshold,
        }
