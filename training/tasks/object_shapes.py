"""What detectors say of an object beside its box: nothing, its mask or its keypoints.

B images; N: objects of an image, padded; n: of one, not padded; M: places a side of a mask;
K: keypoints.
"""

import tensorflow as tf

from keras_regionvit import KeypointRCNN, MaskRCNN, RetinaNet
from keras_regionvit.tasks.detection.instance_masks import THRESHOLD, paste
from keras_regionvit.tasks.detection.keypoint_rcnn import BOX_BETA
from keras_regionvit.tasks.detection.region_training import region_losses
from keras_regionvit.tasks.detection.retinanet import retinanet_losses
from training.evaluators.shapes import KeypointShapes, MaskShapes


class Boxes:
    """Boxes alone, by a `RetinaNet`.

    Args:
        own: the section `detection` of a recipe.
    """

    def __init__(self, own):
        self.own = own

    def build(self, backbone, info, **settings):
        """The model; `settings` are those that all detectors have."""
        own = self.own
        return RetinaNet(
            backbone,
            len(info["class_names"]),
            tower_initializer=own.tower_initializer,
            **settings,
        )

    def specs(self, info, training):
        """What targets have beside boxes: `{name: (shape, dtype)}`."""
        return {}

    def prepared(self, example, placement, info, training):
        """The same of one image: `(of its objects, n rows each, of the image)`, two dicts."""
        return {}, {}

    def inputs(self, image, targets, seed):
        """What the model takes in training."""
        return image

    def input_specs(self, image, targets):
        """The `tf.TensorSpec` of that."""
        return image

    def loss(self, targets, outputs):
        """`(sums, normaliser)`: focal and L1 loss, and the anchors that have an object."""
        classes = outputs["p3_logits"].shape[-1] // 9
        return retinanet_losses(targets["boxes"], targets["labels"], outputs, classes)

    def judged(self, info):
        """What the evaluator takes as `shapes`."""
        return None

    def drawn(self, outputs, shape):
        """What a drawing of one image shows beside boxes, arrays of n rows.

        Args:
            outputs: of the model for that image, arrays of n rows.
            shape: its rows and columns.
        """
        return {}


class _Regions(Boxes):
    """What two-stage detectors share."""

    beta = 0.0

    def inputs(self, image, targets, seed):
        """The image, its boxes and labels, and a seed for what a step draws of them."""
        boxes = {name: targets[name] for name in ("boxes", "labels")}
        own = tf.random.split(seed, 3)[2, 0]  # the canvas takes two
        return {"image": image, **boxes, "seed": tf.cast(own, tf.int32)}

    def input_specs(self, image, targets):
        """Those of `inputs`."""
        boxes = {name: targets[name] for name in ("boxes", "labels")}
        return {"image": image, **boxes, "seed": tf.TensorSpec((), tf.int32)}

    def loss(self, targets, outputs):
        """`(sums, normaliser)`: the losses of each image, and how many images there are."""
        losses = region_losses(targets, outputs, beta=self.beta)
        sums = {name: tf.reduce_sum(loss) for name, loss in losses.items()}
        return sums, targets["boxes"].shape[0]


class Masks(_Regions):
    """Boxes and masks, by a `MaskRCNN`."""

    def build(self, backbone, info, **settings):
        """The model."""
        return MaskRCNN(backbone, len(info["class_names"]), **_sizes(self.own), **settings)

    def specs(self, info, training):
        """In training masks on the grids of their boxes, else run lengths."""
        most, side = self.own.max_objects, self.own.mask_size
        if training:
            return {"masks": ((most, side, side), tf.uint8)}
        return {"segmentation": ((most,), tf.string), "size": ((2,), tf.int32)}

    def prepared(self, example, placement, info, training):
        """Masks moved along, or what the original ones are."""
        if training:
            return {"masks": placement.box_masks(example["masks"], example["boxes"])}, {}
        return {"segmentation": example["segmentation"]}, {"size": example["size"]}

    def loss(self, targets, outputs):
        """With that of the masks."""
        masks = tf.cast(targets["masks"], tf.float32) / 255
        return super().loss({**targets, "masks": masks}, outputs)

    def judged(self, info):
        """Masks."""
        return MaskShapes()

    def drawn(self, outputs, shape):
        """Masks in pixels."""
        return {"masks": paste(outputs["box_masks"], outputs["boxes"], *shape) >= THRESHOLD}


class Keypoints(_Regions):
    """Boxes and keypoints of one class, by a `KeypointRCNN`."""

    beta = BOX_BETA

    def build(self, backbone, info, **settings):
        """The model."""
        own = self.own
        return KeypointRCNN(
            backbone,
            info["keypoints"],
            keypoint_width=own.keypoint_width,
            **_sizes(own),
            **settings,
        )

    def specs(self, info, training):
        """Keypoints on the canvas, or in the original image."""
        name = "keypoints" if training else "original_keypoints"
        return {name: ((self.own.max_objects, info["keypoints"], 3), tf.float32)}

    def prepared(self, example, placement, info, training):
        """Keypoints moved along, or the original ones."""
        points = example["keypoints"]
        if not training:
            return {"original_keypoints": points}, {}
        moved, visible = placement.keypoints(
            points[..., :2], points[..., 2], info["keypoint_pairs"]
        )
        return {"keypoints": tf.concat([moved, visible[..., None]], axis=-1)}, {}

    def judged(self, info):
        """Keypoints."""
        return KeypointShapes(info["keypoint_names"])

    def drawn(self, outputs, shape):
        """Keypoints."""
        return {"keypoints": outputs["keypoints"]}


def _sizes(own):
    """Settings that all two-stage detectors have."""
    return {
        "proposals": own.proposals,
        "training_proposals": own.training_proposals,
        "regions": own.regions,
        "head_width": own.head_width,
    }


SHAPES = {"": Boxes, "masks": Masks, "keypoints": Keypoints}
