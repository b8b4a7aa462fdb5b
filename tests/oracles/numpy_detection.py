"""A slow detector's arithmetic: one anchor and one object at a time, in float64."""

import math

import numpy as np


def anchors(height, width, stride, sizes, ratios):
    """All anchors of a map as a list of xyxy."""
    found = []
    for row in range(height):
        for column in range(width):
            for size in sizes:
                for ratio in ratios:
                    w = math.sqrt(size * size / ratio)
                    h = w * ratio
                    x, y = column * stride, row * stride
                    found.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(found)


def iou(a, b):
    """What two boxes share over what they cover."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def match(boxes, anchors, low, high):
    """An object's number, -1 for background or -2 for neither, of each anchor."""
    table = np.array([[iou(box, anchor) for anchor in anchors] for box in boxes])
    found = []
    for a in range(len(anchors)):
        column = table[:, a] if len(boxes) else np.zeros(1)
        best = int(np.argmax(column))
        value = column[best]
        is_best = any(table[n, a] == table[n].max() and table[n, a] > 0 for n in range(len(boxes)))
        if value >= high or is_best:
            found.append(best)
        else:
            found.append(-1 if value < low else -2)
    return np.array(found)


def deltas(box, anchor):
    """What an anchor lacks of a box."""
    w, h = box[2] - box[0], box[3] - box[1]
    aw, ah = anchor[2] - anchor[0], anchor[3] - anchor[1]
    x = ((box[0] + box[2]) / 2 - (anchor[0] + anchor[2]) / 2) / aw
    y = ((box[1] + box[3]) / 2 - (anchor[1] + anchor[3]) / 2) / ah
    return np.array([x, y, math.log(w / aw), math.log(h / ah)])


def focal(logit, target, alpha=0.25, gamma=2.0):
    """The focal loss of one class of one anchor."""
    p = 1 / (1 + math.exp(-logit))
    if target:
        return -alpha * (1 - p) ** gamma * math.log(p)
    return -(1 - alpha) * p**gamma * math.log(1 - p)


def retinanet_losses(boxes, labels, anchors, logits, found_deltas):
    """`(class loss, box loss, anchors with an object)` of one image, objects not padded."""
    matched = match(boxes, anchors, 0.4, 0.5)
    class_loss = box_loss = 0.0
    for a, n in enumerate(matched):
        if n == -2:
            continue
        for k in range(logits.shape[1]):
            class_loss += focal(logits[a, k], n >= 0 and labels[n] == k)
        if n >= 0:
            box_loss += np.abs(deltas(boxes[n], anchors[a]) - found_deltas[a]).sum()
    return class_loss, box_loss, int((matched >= 0).sum())


def nms(boxes, scores, classes, iou_threshold, score_threshold, most):
    """Numbers of the candidates that stay, the best first; each class for itself."""
    kept = []
    for k in sorted(set(classes.tolist())):
        mine = []
        for i in sorted(np.flatnonzero(classes == k), key=lambda i: (-scores[i], i)):
            if scores[i] > score_threshold and all(
                iou(boxes[i], boxes[j]) <= iou_threshold for j in mine
            ):
                mine.append(i)
        kept += mine
    return sorted(kept, key=lambda i: (-scores[i], i))[:most]
