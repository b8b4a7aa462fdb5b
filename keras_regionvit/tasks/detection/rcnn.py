"""What Mask R-CNN and Keypoint R-CNN share: two-stage detectors on any backbone with a pyramid.

B images, H W their pixels, N objects of an image, padded, R regions, D detections, K classes.
"""

import keras
from keras import ops

from keras_regionvit.backbone import IMAGE
from keras_regionvit.checks.kinds import positive_integer, refuse, shown
from keras_regionvit.tasks.configuration import config_of, model_of
from keras_regionvit.tasks.detection.proposals import Proposals, propose
from keras_regionvit.tasks.detection.region_decoding import RegionDecoder
from keras_regionvit.tasks.detection.region_heads import (
    POOLED,
    POOLED_FOR_SHAPES,
    box_head,
)
from keras_regionvit.tasks.detection.region_training import (
    draw_regions,
    most_with_object,
    region_losses,
)
from keras_regionvit.tasks.detection.retinanet import NORMALIZATION
from keras_regionvit.tasks.detection.roi_align import ROIAlign, roi_align
from keras_regionvit.tasks.detection.rpn import rpn_head
from keras_regionvit.tasks.fpn import feature_pyramid, pyramid_of
from keras_regionvit.tasks.inputs import PadToMultiple, PixelNormalization

FIRST = 2
POOLED_LEVELS = (2, 3, 4, 5)  # regions are looked up on these
CANDIDATES, TRAINING_CANDIDATES = 1000, 2000  # anchors of a level before the suppression
PROPOSAL_IOU = 0.7
DECODING = ("score_threshold", "iou_threshold", "max_detections")
LARGEST_SEED = 2**31 - 1


class RegionDetector(keras.Model):
    """A two-stage detector; see its subclasses.

    Args:
        backbone: a functional `keras.Model` with `pyramid_outputs` of levels 2 to 5.
        settings: a dict of the other arguments of the subclass, checked.
        name: str.
    """

    # what the objects of training have beyond boxes and labels, and what is said of it
    shape_target = shape_output = ""
    box_beta = 0.0

    def __init__(self, backbone, settings, name):
        policy = getattr(backbone, "policy", None) or backbone.dtype_policy
        width = settings["width"]
        pyramid = pyramid_of(backbone, FIRST)
        image = keras.Input(pyramid.input.shape[1:], name=IMAGE)
        x = image
        if settings["include_preprocessing"]:
            x = PixelNormalization(x.shape[-1], name=NORMALIZATION)(x)
        x = PadToMultiple(2**5, dtype="float32", name="padding")(x)
        levels = feature_pyramid(pyramid(x), width, policy)
        # the sixth level is every second place of the fifth
        levels[6] = keras.layers.MaxPooling2D(1, 2, name="fpn_p6", dtype=policy)(levels[5])
        outputs = rpn_head(levels, width, policy)
        maps = [levels[level] for level in POOLED_LEVELS]
        found = Proposals(CANDIDATES, settings["proposals"], PROPOSAL_IOU, name="proposals")(
            {"image": image, **outputs}
        )
        boxes = box_head(self.classes_of(settings), width, settings["head_width"], policy)
        scores, deltas = boxes(
            ROIAlign(POOLED, name="box_pooler", dtype=policy)([*maps, found["boxes"]])
        )
        decoder = RegionDecoder(
            self.classes_of(settings), *(settings[key] for key in DECODING), name="detections"
        )
        detections = decoder({"image": image, **found, "scores": scores, "deltas": deltas})
        shapes = self.shape_head_of(settings, policy)
        said = shapes(
            ROIAlign(POOLED_FOR_SHAPES, name="shape_pooler", dtype=policy)(
                [*maps, detections["boxes"]]
            )
        )
        detections |= self.shapes_found(image, detections, said, settings)
        super().__init__(image, detections, name=name)
        raw = {f"p{level}": maps for level, maps in levels.items()} | outputs
        network = keras.Model(image, raw, name="network")
        # its bound method: the model itself would be tracked, and its layers counted twice
        self._network = network.__call__
        self.backbone, self._settings = backbone, tuple(settings.items())
        self.box_head, self._shape_head = boxes, shapes
        self._seeds = keras.random.SeedGenerator()
        terms = ("objectness", "proposal", "class", "box", self.shape_target[:-1])
        self._means = [keras.metrics.Mean(f"{term}_loss") for term in terms]

    @staticmethod
    def classes_of(settings):
        """How many classes there are, of the checked arguments."""
        raise NotImplementedError

    @staticmethod
    def shape_head_of(settings, policy):
        """The functional model that says a region's mask or keypoints."""
        raise NotImplementedError

    @staticmethod
    def shapes_found(image, detections, said, settings):
        """What becomes of it in a prediction, a dict of Keras tensors."""
        raise NotImplementedError

    @property
    def num_classes(self):
        """How many classes there are."""
        return self.classes_of(dict(self._settings))

    @property
    def input_spec(self):
        """None: training has a dict in place of images."""
        return None

    @property
    def raw_outputs(self):
        """What pyramid and proposal network make of the padded image, a dict of Keras tensors.

        `p2` to `p6` (B, h, w, width), `p2_objectness` (B, h, w, 3) and `p2_deltas` (B, h, w, 12) to
        `p6_deltas`; `keras.Model(model.input, model.raw_outputs)` computes them.
        """
        return dict(self._network.__self__.output)

    def call(self, inputs, training=None, mask=None):
        """Detections; of a dict of images and objects what there is to learn from."""
        if isinstance(inputs, dict):
            self._check(inputs, (IMAGE, "boxes", "labels"))
            return self._training_outputs(inputs, training)
        return super().call(inputs, training=training, mask=mask)

    def _training_outputs(self, inputs, training):
        """`raw_outputs`, the regions that were drawn, and what is said of these."""
        images, settings = inputs[IMAGE], dict(self._settings)
        outputs = self._network(images, training=training)
        batch, height, width, _ = ops.shape(images)
        if (seeds := inputs.get("seed")) is None:
            seeds = keras.random.randint((batch,), 0, LARGEST_SEED, "int32", self._seeds)
        proposals, real = propose(
            outputs,
            height,
            width,
            candidates=TRAINING_CANDIDATES,
            count=settings["training_proposals"],
            iou_threshold=PROPOSAL_IOU,
        )
        boxes, labels = inputs["boxes"], inputs["labels"]
        count = settings["regions"]
        drawn = draw_regions(proposals, real, boxes, labels, seeds, count)
        maps = {level: outputs[f"p{level}"] for level in POOLED_LEVELS}
        cells = roi_align(maps, drawn["regions"], POOLED)
        scores, deltas = self.box_head(_rows(cells), training=training)
        most = most_with_object(count)
        cells = roi_align(maps, drawn["regions"][:, :most], POOLED_FOR_SHAPES)
        said = self._shape_head(_rows(cells), training=training)
        return {
            **outputs,
            **drawn,
            "seeds": seeds,
            "region_scores": ops.reshape(scores, (-1, count, scores.shape[-1])),
            "region_deltas": ops.reshape(deltas, (-1, count, deltas.shape[-1])),
            self.shape_output: ops.reshape(said, (-1, most, *said.shape[1:])),
        }

    def _check(self, inputs, names):
        """Checks that the inputs of training have all that is learnt from."""
        given = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
        if lacking := [name for name in names if name not in given or isinstance(given, str)]:
            raise ValueError(
                f"{self.name!r} learns from one dict with {', '.join(names)} as its inputs, and no "
                f"targets beside it. Received {shown(given)}, without {', '.join(lacking)}"
            )

    def losses_of(self, targets, outputs):
        """The losses of a batch, see `region_losses`; `outputs` are those of training."""
        return region_losses(targets, outputs, beta=self.box_beta)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The sum of the losses, the mean of the images."""
        self._check(x, (IMAGE, "boxes", "labels", self.shape_target))
        means = {key: ops.mean(value) for key, value in self.losses_of(x, y_pred).items()}
        for metric in self._means:
            metric.update_state(means[metric.name])
        return sum(means.values()) + sum(self.losses)

    def test_step(self, data):
        """The losses of a batch of `evaluate`; metrics of detections are `training.evaluate`'s."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        loss = self.compute_loss(x, y_pred=self(x, training=False), training=False)
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


def region_count(value):
    """The argument `regions`, checked: a quarter of them must be one at least."""
    if positive_integer("regions", value) < 4:
        refuse("regions", "an integer of at least 4", value)
    return int(value)


def _rows(cells):
    """(B, R, S, S, C) -> (B * R, S, S, C)."""
    return ops.reshape(cells, (-1, *cells.shape[2:]))
