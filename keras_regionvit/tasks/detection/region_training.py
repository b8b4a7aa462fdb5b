"""How a two-stage detector learns: which regions of an image count, and what they should say.

B images, N objects of an image, padded, P proposals, R regions, F of them with an object at most,
K classes, M places a side of a mask in its box, J keypoints.
"""

import math

from keras import ops

from keras_regionvit.tasks.detection import boxes as box_ops
from keras_regionvit.tasks.detection.instance_masks import within_regions
from keras_regionvit.tasks.detection.keypoints import keypoint_losses
from keras_regionvit.tasks.detection.losses import binary_loss, class_loss, l1_loss
from keras_regionvit.tasks.detection.matching import NO_OBJECT, match
from keras_regionvit.tasks.detection.region_decoding import BOX_WEIGHTS
from keras_regionvit.tasks.detection.region_heads import MASK_SIZE, enlarged
from keras_regionvit.tasks.detection.rpn import rpn_losses
from keras_regionvit.tasks.detection.sampling import sample

OBJECT_FROM, OBJECTS_SHARE = 0.5, 0.25  # intersection over union of regions; share of regions


def most_with_object(count):
    """How many of `count` regions have an object at most."""
    return math.floor(OBJECTS_SHARE * count)


def draw_regions(proposals, real, boxes, labels, seeds, count):
    """The regions of a step: proposals and the objects themselves, a random few of them.

    Args:
        proposals: float32 tensor (B, P, 4), xyxy pixels.
        real: bool tensor (B, P).
        boxes: float tensor (B, N, 4), of the objects.
        labels: int tensor (B, N), -1 for padding.
        seeds: int32 tensor (B,).
        count: int R.

    Returns:
        `{"regions": (B, R, 4), "region_object": int32 (B, R), "region_counts": bool (B, R)}`: the
        object that a region shares at least half with, -1 for none; and whether it is a region at
        all. Those with an object come first and are at most a quarter.
    """
    exists = labels >= 0
    candidates = ops.concatenate([proposals, ops.cast(boxes, "float32")], axis=1)
    real = ops.concatenate([real, exists & (box_ops.areas(boxes) > 0)], axis=1)

    def found_in(image):
        boxes, exists, candidates = image
        return match(boxes, exists, candidates, OBJECT_FROM, OBJECT_FROM, low_quality=False)

    found = ops.map(found_in, (ops.cast(boxes, "float32"), exists, candidates))
    with_object, without = real & (found >= 0), real & (found == NO_OBJECT)
    chosen, counts = sample(with_object, without, seeds, count, OBJECTS_SHARE)
    regions = ops.take_along_axis(candidates, chosen[..., None], 1)
    of_region = ops.take_along_axis(found, chosen, 1)
    return {
        "regions": ops.stop_gradient(ops.where(counts[..., None], regions, 0.0)),
        "region_object": ops.where(counts, of_region, NO_OBJECT),
        "region_counts": counts,
    }


def region_losses(targets, outputs, *, beta=0.0):
    """The losses of a batch, those of each image divided by what there is of it.

    Args:
        targets: a dict of `boxes` (B, N, 4), xyxy pixels, and `labels` (B, N), -1 for padding; for
            outputs with `region_masks` also `masks` (B, N, M, M) on 0..1, each on the grid of its
            box; for those with `region_heatmaps` also `keypoints` (B, N, J, 3), see `places_of`.
        outputs: what a `MaskRCNN` or a `KeypointRCNN` gives in training.
        beta: float, of the smooth L1 loss of the boxes.

    Returns:
        A dict of float32 tensors (B,): `objectness_loss` and `proposal_loss` over the anchors that
        were drawn; `class_loss` and `box_loss` over the regions; `mask_loss` over those with an
        object and the places of their masks, `keypoint_loss` over their visible keypoints.
    """
    boxes, labels = ops.cast(targets["boxes"], "float32"), ops.cast(targets["labels"], "int32")
    losses = rpn_losses(boxes, labels >= 0, outputs, outputs["seeds"])
    losses |= _box_losses(boxes, labels, outputs, beta)
    if "region_masks" in outputs:
        losses["mask_loss"] = _mask_loss(boxes, labels, targets["masks"], outputs)
    if "region_heatmaps" in outputs:
        losses["keypoint_loss"] = _keypoint_loss(targets["keypoints"], outputs)
    return losses


def _of_object(values, index):
    """The row of each region's object: (B, N, ...) and (B, R) to (B, R, ...)."""
    more = len(values.shape) - 2
    # a row more for images without any object to point to
    values = ops.pad(values, [(0, 0), (0, 1), *[(0, 0)] * more])
    shape = (*ops.shape(index), *[1] * more)
    index = ops.reshape(ops.maximum(index, 0), shape)
    if more:
        index = ops.broadcast_to(index, (*shape[:2], *values.shape[2:]))
    return ops.take_along_axis(values, index, 1)


def _mean(losses, counts):
    """The mean of those (B, ...) that count, 0 where none does, (B,)."""
    axes = tuple(range(1, len(losses.shape)))
    # where, not a product: what padding would give is finite, but large
    total = ops.sum(ops.where(counts, losses, 0.0), axes)
    return total / ops.maximum(ops.sum(ops.cast(counts, "float32"), axes), 1.0)


def _box_losses(boxes, labels, outputs, beta):
    """Classes and boxes of the regions."""
    counts, index = outputs["region_counts"], outputs["region_object"]
    scores, deltas = (ops.cast(outputs[f"region_{x}"], "float32") for x in ("scores", "deltas"))
    classes = scores.shape[-1] - 1
    label = ops.where(index >= 0, _of_object(labels, index), classes)
    with_object = counts & (index >= 0)
    target = box_ops.encode(_of_object(boxes, index), outputs["regions"], BOX_WEIGHTS)
    batch, count = ops.shape(label)[0], label.shape[1]
    deltas = ops.reshape(deltas, (batch, count, classes, 4))  # from (B, R, 4 * K)
    own = ops.minimum(label, classes - 1)[..., None, None]
    own = ops.broadcast_to(own, (batch, count, 1, 4))
    box_loss = ops.sum(l1_loss(target, ops.take_along_axis(deltas, own, 2)[:, :, 0], beta), -1)
    each = ops.maximum(ops.sum(ops.cast(counts, "float32"), 1), 1.0)
    return {
        "class_loss": _mean(class_loss(label, scores), counts),
        "box_loss": ops.sum(ops.where(with_object, box_loss, 0.0), 1) / each,
    }


def _with_object(outputs, count):
    """`(regions, index, counts)` of the first `count` regions, which have an object if any."""
    index = outputs["region_object"][:, :count]
    return outputs["regions"][:, :count], index, index >= 0


def _mask_loss(boxes, labels, masks, outputs):
    logits = ops.cast(outputs["region_masks"], "float32")  # (B, F, S, S, K)
    regions, index, counts = _with_object(outputs, logits.shape[1])
    own = _of_object(ops.cast(masks, "float32"), index)
    target = within_regions(own, _of_object(boxes, index), regions, MASK_SIZE) >= 0.5
    label = ops.maximum(_of_object(labels, index), 0)[..., None, None, None]
    label = ops.broadcast_to(label, (*ops.shape(logits)[:-1], 1))
    said = ops.take_along_axis(logits, label, -1)[..., 0]
    losses = binary_loss(ops.cast(target, "float32"), said)  # (B, F, S, S)
    return _mean(losses, ops.broadcast_to(counts[..., None, None], ops.shape(losses)))


def _keypoint_loss(keypoints, outputs):
    heatmaps = ops.cast(outputs["region_heatmaps"], "float32")  # (B, F, 28, 28, J)
    regions, index, counts = _with_object(outputs, heatmaps.shape[1])
    batch, count, side, _, kinds = ops.shape(heatmaps)
    # (B, F, 28, 28, J) -> (B * F, 28, 28, J)
    large = enlarged(ops.reshape(heatmaps, (batch * count, side, side, kinds)))
    large = ops.reshape(large, (batch, count, 2 * side, 2 * side, kinds))
    own = _of_object(ops.cast(keypoints, "float32"), index)
    losses, visible = keypoint_losses(own, regions, large)
    return _mean(losses, visible & counts[..., None])
