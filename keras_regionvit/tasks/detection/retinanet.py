"""RetinaNet on any backbone with a pyramid (paper, section 4.2 and appendix A.2).

B images, H W their pixels, N objects of an image, padded, A anchors of all levels, K classes.
"""

import keras
from keras import ops

from keras_regionvit.backbone import IMAGE
from keras_regionvit.checks.kinds import choice, flag, positive_integer, rate
from keras_regionvit.tasks.configuration import config_of, model_of
from keras_regionvit.tasks.detection import boxes as box_ops
from keras_regionvit.tasks.detection.anchors import OCTAVES, RATIOS, level_anchors, retinanet_sizes
from keras_regionvit.tasks.detection.decoding import RetinaNetDecoder
from keras_regionvit.tasks.detection.heads import INITIALIZERS, retinanet_head
from keras_regionvit.tasks.detection.losses import focal_loss, l1_loss
from keras_regionvit.tasks.detection.matching import NO_OBJECT, UNSURE, match
from keras_regionvit.tasks.fpn import WIDTH, coarser_levels, feature_pyramid, pyramid_of
from keras_regionvit.tasks.inputs import PadToMultiple, PixelNormalization

FIRST, LAST = 3, 7
LEVELS = tuple(range(FIRST, LAST + 1))
BACKGROUND_BELOW, OBJECT_FROM = 0.4, 0.5  # intersections over union of anchors
DECODING = ("score_threshold", "iou_threshold", "max_detections", "candidates")
NORMALIZATION = "pixel_normalization"


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RetinaNet(keras.Model):
    """A one-stage detector: images to boxes with their classes, all in the model's call.

    It trains with `fit` on `(images, {"boxes": (B, N, 4), "labels": (B, N)})`, boxes xyxy in pixels
    and labels from 0, -1 for padding; its loss is the focal loss of the classes plus the L1 loss of
    the boxes, divided by the number of anchors with an object. Give `compile` an optimizer alone.

    Args:
        backbone: a functional `keras.Model` with `pyramid_outputs` of levels 3 to 5, such as a
            `RegionViTBackbone`; the released detectors have `pyramid_norm=True`.
        num_classes: int K.
        include_preprocessing: bool, whether the model itself normalises images of 0..255;
            otherwise it takes them as its backbone does.
        score_threshold: float in [0, 1), what a detection's score must exceed.
        iou_threshold: float on 0..1; of two detections of a class that share more the better stays.
        max_detections: int D, of an image.
        candidates: int, of a level before the suppression.
        width: int, channels of the pyramid and the head.
        tower_initializer: "normal" or "he_normal", what the kernels of the head's towers begin
            with. "normal" is as released, with a deviation of 0.01, which at widths far below 256
            lets little of an image through: of 64 channels, on the composed images of the quick
            start, it has an AP50 of 16% after two epochs where "he_normal" has 27%.
        name: optional str, name of the model.

    Input: images (B, H, W, channels), float, of any size; they are padded with zeros to a multiple
    of 32 inside the model.

    Output: `{"boxes": (B, D, 4), "scores": (B, D), "classes": int32 (B, D), "count": int32 (B,)}`,
    boxes xyxy in pixels, the best first; after `count` boxes and scores are 0 and classes -1. With
    `training=True` it is `raw_outputs` instead.

    Raises:
        ValueError: an argument is out of range, or the backbone has no such pyramid.

    Example:

    >>> backbone = keras_regionvit.RegionViTBackbone.from_variant("small", pyramid_norm=True)
    >>> detector = keras_regionvit.RetinaNet(backbone, num_classes=80)
    >>> detector(images)["boxes"].shape
    TensorShape([2, 100, 4])

    Source: paper, Table 5; the losses and thresholds are those of detectron2's RetinaNet.
    """

    def __init__(
        self,
        backbone,
        num_classes=80,
        *,
        include_preprocessing=False,
        score_threshold=0.05,
        iou_threshold=0.5,
        max_detections=100,
        candidates=1000,
        width=WIDTH,
        tower_initializer="normal",
        name="retinanet",
    ):
        settings = {
            "num_classes": positive_integer("num_classes", num_classes),
            "include_preprocessing": flag("include_preprocessing", include_preprocessing),
            "score_threshold": rate("score_threshold", score_threshold),
            "iou_threshold": rate("iou_threshold", iou_threshold),
            "max_detections": positive_integer("max_detections", max_detections),
            "candidates": positive_integer("candidates", candidates),
            "width": positive_integer("width", width),
            "tower_initializer": choice("tower_initializer", tower_initializer, INITIALIZERS),
        }
        policy = getattr(backbone, "policy", None) or backbone.dtype_policy
        pyramid = pyramid_of(backbone, FIRST)
        image = keras.Input(pyramid.input.shape[1:], name=IMAGE)
        x = image
        if include_preprocessing:
            x = PixelNormalization(x.shape[-1], name=NORMALIZATION)(x)
        x = PadToMultiple(2**5, dtype="float32", name="padding")(x)
        maps = pyramid(x)
        levels = feature_pyramid(maps, width, policy)
        levels |= coarser_levels(maps["P5"], width, policy)
        per_place = len(OCTAVES) * len(RATIOS)
        outputs = retinanet_head(
            levels, settings["num_classes"], per_place, width, tower_initializer, policy
        )
        decoder = RetinaNetDecoder(
            LEVELS,
            *(settings[key] for key in ("num_classes", *DECODING)),
            name="detections",
        )
        super().__init__(image, decoder({"image": image, **outputs}), name=name)
        raw = {f"p{level}": maps for level, maps in levels.items()} | outputs
        network = keras.Model(image, raw, name="network")
        # its bound method: the model itself would be tracked, and its layers counted twice
        self._network = network.__call__
        self.backbone, self._settings = backbone, tuple(settings.items())
        self._means = [keras.metrics.Mean(name) for name in ("class_loss", "box_loss")]

    @property
    def raw_outputs(self):
        """What the head makes of the padded image, a dict of Keras tensors.

        `p3` to `p7` (B, h, w, width), `p3_logits` (B, h, w, 9 * K) and `p3_deltas` (B, h, w, 36) to
        `p7_deltas`; `keras.Model(model.input, model.raw_outputs)` computes them.
        """
        return dict(self._network.__self__.output)

    @property
    def num_classes(self):
        """How many classes there are."""
        return dict(self._settings)["num_classes"]

    def call(self, inputs, training=None, mask=None):
        """Detections, or `raw_outputs` in training."""
        if training:
            return self._network(inputs, training=True)
        return super().call(inputs, training=training, mask=mask)

    def compute_output_spec(self, inputs, training=None, mask=None):
        """The shapes of what `call` gives."""
        if training:
            return self._network.__self__.compute_output_spec(inputs)
        return super().compute_output_spec(inputs, training=training, mask=mask)

    def losses_of(self, boxes, labels, outputs):
        """The losses of a batch, not divided yet.

        Args:
            boxes: float tensor (B, N, 4), xyxy pixels.
            labels: int tensor (B, N), -1 for padding.
            outputs: a dict with the logits and deltas of `raw_outputs`.

        Returns:
            `({"class_loss": scalar, "box_loss": scalar}, anchors with an object, a scalar)`, all
            float32.
        """
        return retinanet_losses(boxes, labels, outputs, self.num_classes)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The losses over the number of anchors with an object, at least 1."""
        sums, positives = self.losses_of(y["boxes"], y["labels"], y_pred)
        means = {name: value / ops.maximum(positives, 1.0) for name, value in sums.items()}
        for metric in self._means:
            metric.update_state(means[metric.name])
        return sum(means.values()) + sum(self.losses)

    def test_step(self, data):
        """The losses of a batch of `evaluate`; metrics of detections are `training.evaluate`'s."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        loss = self.compute_loss(x, y, self._network(x, training=False), training=False)
        self._loss_tracker.update_state(loss)
        return self.get_metrics_result()

    @property
    def metrics(self):
        """Those of `compile`, and the parts of the loss."""
        return [*super().metrics, *self._means]

    def get_config(self):
        """The arguments of the constructor."""
        return config_of(self, self._settings)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The detector that `get_config` described."""
        return model_of(cls, config, custom_objects)


def retinanet_losses(boxes, labels, outputs, num_classes):
    """The losses of a batch, see `RetinaNet.losses_of`."""
    anchors, logits, deltas = _flat(outputs, num_classes)
    boxes = ops.cast(boxes, "float32")

    def found_in(image):
        boxes, real = image
        return match(boxes, real, anchors, BACKGROUND_BELOW, OBJECT_FROM)

    # image by image: all pairs of 16 images would take gigabytes
    found = ops.map(found_in, (boxes, labels >= 0))  # (B, A)
    positive = ops.cast(found >= 0, "float32")
    # a row more for images without any object to point to
    index = ops.maximum(found, 0)
    labels = ops.pad(ops.cast(labels, "int32"), [(0, 0), (0, 1)], constant_values=-1)
    boxes = ops.pad(boxes, [(0, 0), (0, 1), (0, 0)])
    label = ops.where(found >= 0, ops.take_along_axis(labels, index, 1), NO_OBJECT)
    target = box_ops.encode(ops.take_along_axis(boxes, index[..., None], 1), anchors[None])
    class_loss = focal_loss(ops.one_hot(label, num_classes, dtype="float32"), logits)
    counts = ops.cast(found != UNSURE, "float32")
    # where, not a product: what padding would give is finite, but large
    box_loss = ops.where(positive[..., None] > 0, l1_loss(target, deltas), 0.0)
    sums = {
        "class_loss": ops.sum(class_loss * counts[..., None]),
        "box_loss": ops.sum(box_loss),
    }
    return sums, ops.sum(positive)


def _flat(outputs, num_classes):
    """Anchors (A, 4), logits (B, A, K) and deltas (B, A, 4) of all levels, float32."""
    anchors, logits, deltas = [], [], []
    for level in LEVELS:
        x = ops.cast(outputs[f"p{level}_logits"], "float32")
        batch, rows, columns, _ = ops.shape(x)
        count = rows * columns * len(OCTAVES) * len(RATIOS)
        anchors.append(level_anchors(rows, columns, 2**level, retinanet_sizes(level)))
        # (B, h, w, 9 * K) -> (B, h * w * 9, K)
        logits.append(ops.reshape(x, (batch, count, num_classes)))
        x = ops.cast(outputs[f"p{level}_deltas"], "float32")
        deltas.append(ops.reshape(x, (batch, count, 4)))  # (B, h, w, 36) -> (B, h * w * 9, 4)
    return (
        ops.concatenate(anchors, axis=0),
        ops.concatenate(logits, axis=1),
        ops.concatenate(deltas, axis=1),
    )
