"""Drawn scenes with masks and keypoints, as tasks and models give them to an evaluator."""

import numpy as np
from pycocotools import mask as coco_mask

CATEGORIES = [7, 1, 90]  # neither from 0 nor in order
SCALE = np.array([2.0, 0.5], "float32")
SIZE = (90, 140)
SIDE = 14


def blob(rng, box, size):
    """An ellipse with holes in a box, boolean."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    inside = ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1
    return inside & (rng.random(size) < 0.95)


def counts_of(pixels):
    return coco_mask.encode(np.asfortranarray(pixels, "uint8"))["counts"]


def scene(seed, points, images=13, objects=5, detections=12):
    """`(targets, outputs)` of all images, padded, as the task and the model give them."""
    rng = np.random.default_rng(seed)
    shape = (images, objects)
    corners = rng.uniform(0, 0.7, (*shape, 2)) * SIZE[::-1]
    boxes = np.concatenate([corners, corners + rng.uniform(12, 40, (*shape, 2))], -1)
    boxes = boxes.clip(0, (*SIZE[::-1], *SIZE[::-1])).astype("float32")
    labels = rng.integers(0, 3, shape)
    labels[rng.random(shape) < 0.3] = -1
    targets = {
        "labels": labels.astype("int32"),
        "original": boxes,
        "crowd": rng.random(shape) < 0.15,
        "area": ((boxes[..., 2:] - boxes[..., :2]).prod(-1) * 0.8).astype("float32"),
        "scale": np.tile(SCALE, (images, 1)),
        "index": np.arange(images),
        "size": np.tile(np.array(SIZE, "int32"), (images, 1)),
    }
    masks = [[blob(rng, box, SIZE) for box in each] for each in boxes.astype("float64")]
    targets["segmentation"] = np.array([[counts_of(m) for m in each] for each in masks], object)
    share = rng.random((*shape, points, 2))
    where = boxes[..., None, :2] + share * (boxes[..., 2:] - boxes[..., :2])[..., None, :]
    visible = rng.integers(0, 3, (*shape, points, 1)) * (rng.random((*shape, 1, 1)) < 0.8)
    known = np.concatenate([np.where(visible > 0, where, 0), visible], -1)
    targets["original_keypoints"] = known.astype("float32")

    near = rng.integers(0, objects, (images, detections))
    row = np.arange(images)[:, None]
    found = boxes[row, near] + rng.normal(0, 1.5, (images, detections, 4))
    classes = np.where(
        rng.random(near.shape) < 0.8, labels[row, near], rng.integers(0, 3, near.shape)
    )
    moved = where[row, near] + rng.normal(0, 1, (images, detections, points, 2))
    outputs = {
        "boxes": (found / np.tile(SCALE, 2)).astype("float32"),
        "scores": -np.sort(-rng.random((images, detections))).astype("float32"),
        "classes": np.maximum(classes, 0).astype("int32"),
        "count": rng.integers(0, detections + 1, images).astype("int32"),
        "box_masks": rng.random((images, detections, SIDE, SIDE)).astype("float32") ** 0.3,
        "keypoints": np.concatenate([moved / SCALE, rng.random((*moved.shape[:-1], 1))], -1).astype(
            "float32"
        ),
    }
    return targets, outputs
