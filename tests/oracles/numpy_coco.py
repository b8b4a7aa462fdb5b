"""COCO's average precision and recall, slowly: one detection and one object at a time.

An object is `(class, crowd, box xyxy, area)`, a detection `(class, score, box xyxy)`; both are
lists of an image. Scores differ from each other.
"""

import numpy as np


def overlap(detection, box, crowd):
    """What two boxes share over what they cover, or over the detection if the other is a crowd."""
    width = min(detection[2], box[2]) - max(detection[0], box[0])
    height = min(detection[3], box[3]) - max(detection[1], box[1])
    if width <= 0 or height <= 0:
        return 0.0
    own, other = (((b[2] - b[0]) * (b[3] - b[1])) for b in (detection, box))
    return width * height / (own if crowd else own + other - width * height)


def verdicts(objects, detections, iou, areas):
    """`(score, whether right)` of the detections of a class in an image that count."""
    inside = [areas[0] <= area <= areas[1] for *_, area in objects]
    wanted = [not crowd and inside[n] for n, (_, crowd, _, _) in enumerate(objects)]
    taken = set()
    for _, score, box in sorted(detections, key=lambda d: -d[1]):
        best = None
        for kind in (True, False):  # what is to be found goes before what does not matter
            values = {
                n: overlap(box, other, crowd)
                for n, (_, crowd, other, _) in enumerate(objects)
                if wanted[n] == kind and (crowd or n not in taken)
            }
            values = {n: value for n, value in values.items() if value >= iou}
            if best is None and values:
                best = max(values, key=values.get)
        if best is not None:
            taken.add(best)
            if wanted[best]:
                yield score, True
        elif areas[0] <= (box[2] - box[0]) * (box[3] - box[1]) <= areas[1]:
            yield score, False


def average_precision(objects, detections, classes, iou, areas=(0, 1e10), most=100):
    """`(precision at 101 recalls, recall)`, averaged over the classes to be found, -1 for none.

    Args:
        objects: a list of objects an image.
        detections: a list of detections an image.
        classes: how many.
        iou: what a detection must share with an object at least.
        areas: of objects that are to be found, from and to.
        most: best detections of a class and image that count.
    """
    precisions, recalls = [], []
    for kind in range(classes):
        marks, count = [], 0
        for these, found in zip(objects, detections, strict=True):
            these = [o for o in these if o[0] == kind]
            found = sorted((d for d in found if d[0] == kind), key=lambda d: -d[1])[:most]
            marks += verdicts(these, found, iou, areas)
            count += sum(not o[1] and areas[0] <= o[3] <= areas[1] for o in these)
        if not count:
            continue
        right, curve = 0, [(0.0, 0.0)]
        for place, (_, good) in enumerate(sorted(marks, key=lambda m: -m[0]), 1):
            right += good
            curve.append((right / count, right / place))
        recalls.append(right / count)
        precisions += [
            max([p for r, p in curve if r >= recall], default=0.0)
            for recall in np.linspace(0, 1, 101)
        ]
    if not recalls:
        return -1.0, -1.0
    return float(np.mean(precisions)), float(np.mean(recalls))
