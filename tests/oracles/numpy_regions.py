"""Slow arithmetic of two-stage detectors: a region, cell, pixel or keypoint at a time, float64."""

import math

import numpy as np

from tests.oracles.numpy_detection import deltas, iou


def level_of(box, first, last):
    """The level that a box is looked up on."""
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    return min(max(math.floor(4 + math.log2(side / 224 + 1e-8)), first), last)


def bilinear(image, y, x):
    """A map's value at a point, 0 further than one place outside of it."""
    height, width = image.shape[:2]
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(image.shape[2])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = image[top, left] * (1 - dx) + image[top, right] * dx
    lower = image[bottom, left] * (1 - dx) + image[bottom, right] * dx
    return upper * (1 - dy) + lower * dy


def roi_align(maps, box, size, samples):
    """The cells (size, size, C) of one box, from the level of its size."""
    level = level_of(box, min(maps), max(maps))
    image = maps[level]
    x1, y1, x2, y2 = (value / 2**level - 0.5 for value in box)
    cells = np.zeros((size, size, image.shape[2]))
    for row in range(size):
        for column in range(size):
            for i in range(samples):
                for j in range(samples):
                    y = y1 + (row + (i + 0.5) / samples) * (y2 - y1) / size
                    x = x1 + (column + (j + 0.5) / samples) * (x2 - x1) / size
                    cells[row, column] += bilinear(image, y, x) / samples**2
    return cells


def covered(mask, box, region, size):
    """The share of each place of a region that a mask on the grid of `box` covers."""
    fine = 64  # points a place and side
    found = np.zeros((size, size))
    count = mask.shape[0]
    for row in range(size):
        for column in range(size):
            y = region[1] + (row + (np.arange(fine) + 0.5) / fine) * (region[3] - region[1]) / size
            x = (
                region[0]
                + (column + (np.arange(fine) + 0.5) / fine) * (region[2] - region[0]) / size
            )
            i = np.floor((y - box[1]) / (box[3] - box[1]) * count).astype(int)
            j = np.floor((x - box[0]) / (box[2] - box[0]) * count).astype(int)
            inside = ((i >= 0) & (i < count))[:, None] & ((j >= 0) & (j < count))[None]
            values = mask[np.clip(i, 0, count - 1)[:, None], np.clip(j, 0, count - 1)[None]]
            found[row, column] = np.where(inside, values, 0).mean()
    return found


def paste(mask, box, height, width):
    """A mask of a box in the pixels of its image, each pixel at its centre."""
    size = mask.shape[0]
    padded = np.pad(mask, 1)  # beyond its outermost places it falls to 0
    found = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = (y + 0.5 - box[1]) / (box[3] - box[1]) * size - 0.5 + 1
            u = (x + 0.5 - box[0]) / (box[2] - box[0]) * size - 0.5 + 1
            if 0 <= v <= size + 1 and 0 <= u <= size + 1:
                found[y, x] = bilinear(padded[..., None], v, u)[0]
    return found


def cubic(x):
    """The cubic kernel with a = -0.75."""
    x = abs(x)
    if x <= 1:
        return 1.25 * x**3 - 2.25 * x**2 + 1
    return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def cubic_at(heatmap, y, x):
    """The cubic interpolation of a heatmap at a point, in places from its border."""
    size = heatmap.shape[0]
    rows = [math.floor(y - 0.5) + k for k in range(-1, 3)]
    columns = [math.floor(x - 0.5) + k for k in range(-1, 3)]
    return sum(
        cubic(y - 0.5 - i)
        * cubic(x - 0.5 - j)
        * heatmap[min(max(i, 0), size - 1), min(max(j, 0), size - 1)]
        for i in rows
        for j in columns
    )


def decode_heatmap(heatmap, box, fine):
    """`(x, y, score)` of one heatmap: the highest point around its highest place."""
    size = heatmap.shape[0]
    row, column = np.unravel_index(np.argmax(heatmap), heatmap.shape)
    best = (-np.inf, 0.0, 0.0)
    for i in range(-fine, fine + 1):
        for j in range(-fine, fine + 1):
            y, x = row + 0.5 + i / fine, column + 0.5 + j / fine
            if 0 <= y <= size and 0 <= x <= size:
                best = max(best, (cubic_at(heatmap, y, x), -y, -x))
    summit, y, x = best[0], -best[1], -best[2]
    score = min(np.exp(summit - heatmap.max()) / np.exp(heatmap - heatmap.max()).sum(), 1)
    x = box[0] + x / size * (box[2] - box[0])
    return x, box[1] + y / size * (box[3] - box[1]), score


def softmax_loss(logits, label):
    """The cross entropy of one choice."""
    return math.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label]


def binary_loss(logit, truth):
    """The cross entropy of one yes or no."""
    return math.log1p(math.exp(-logit)) if truth else math.log1p(math.exp(logit))


def smooth_l1(x, beta):
    """Of one difference."""
    x = abs(x)
    return x * x / (2 * beta) if beta and x < beta else x - beta / 2


def box_losses(regions, objects, boxes, labels, scores, found, beta):
    """`(class loss, box loss)` of the regions of one image, all of which count."""
    class_loss = box_loss = 0.0
    classes = scores.shape[1] - 1
    for r, n in enumerate(objects):
        class_loss += softmax_loss(scores[r], labels[n] if n >= 0 else classes)
        if n >= 0:
            wanted = deltas(boxes[n], regions[r]) * (10, 10, 5, 5)
            own = found[r].reshape(classes, 4)[labels[n]]
            box_loss += sum(smooth_l1(a, beta) for a in wanted - own)
    return class_loss / len(regions), box_loss / len(regions)


def mask_loss(regions, objects, boxes, labels, masks, logits):
    """Of the regions of one image; those without an object have none."""
    losses = []
    for r, n in enumerate(objects):
        if n >= 0:
            target = covered(masks[n], boxes[n], regions[r], 28) >= 0.5
            own = logits[r, ..., labels[n]]
            losses += [binary_loss(a, b) for a, b in zip(own.ravel(), target.ravel(), strict=True)]
    return np.mean(losses) if losses else 0.0


def keypoint_loss(regions, objects, keypoints, heatmaps):
    """Of the regions of one image; heatmaps (R, S, S, K)."""
    losses, size = [], heatmaps.shape[1]
    for r, n in enumerate(objects):
        for k in range(heatmaps.shape[-1] if n >= 0 else 0):
            x, y, visible = keypoints[n, k]
            x1, y1, x2, y2 = regions[r]
            inside = x1 <= x <= x2 and y1 <= y <= y2
            if visible and inside:
                column = min(int((x - x1) / (x2 - x1) * size), size - 1)
                row = min(int((y - y1) / (y2 - y1) * size), size - 1)
                losses.append(softmax_loss(heatmaps[r, ..., k].ravel(), row * size + column))
    return np.mean(losses) if losses else 0.0


def nms(boxes, threshold):
    """Numbers of the boxes that stay, the best first."""
    stay = []
    for i, box in enumerate(boxes):
        if all(iou(box, boxes[j]) <= threshold for j in stay):
            stay.append(i)
    return stay
