"""What a detector finds: images with boxes.

N images, n boxes of one, K classes.
"""

import numpy as np

from keras_regionvit.visualize.figure import (
    class_colors,
    new_figure,
    one_for_each,
    pixels_of_each,
    plain,
    write,
)

COLUMNS = 3


def plot_detections(images, detections, class_names, path=None, truth=None, min_score=0.3):
    """Images with the boxes that a detector found, coloured by classes; true boxes are dashed.

    Args:
        images: integers on 0..255 or floats on 0..1, (N, H, W), (N, H, W, 1) or (N, H, W, 3), or
            a list of such images of any sizes.
        detections: for each image a dict with "boxes" (n, 4), xyxy in its pixels, "scores" (n,)
            and "classes", integers (n,) in [0, K), -1 for padding; or one dict of arrays
            with N rows, as `keras_regionvit.RetinaNet` gives it.
        class_names: K names.
        path: optional path of a `.png` file to write.
        truth: optional, the objects, likewise, with "labels" in place of "scores" and "classes".
        min_score: detections with a lower score are not drawn.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: the shapes do not fit, a pixel or a class is out of range, or `path` is
            no `.png` in a folder that exists.
        WriteError: the file cannot be written.
        ImportError: matplotlib is missing.

    Example:

    >>> plot_detections(images, detector.predict(images), ["cat", "dog"], "found.png")
    """
    images, count = pixels_of_each(images), len(class_names)
    found = _of_each_image("detections", detections, "classes", count, images)
    objects = None if truth is None else _of_each_image("truth", truth, "labels", count, images)
    colors = class_colors(count)
    names = [plain(name) for name in class_names]

    columns = min(len(images), COLUMNS)
    rows = -(-len(images) // columns)
    figure = new_figure(4.2 * columns, 4.2 * rows)
    for i, image in enumerate(images):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], autoscale_on=False)
        boxes, classes, scores = found[i]
        shown = np.flatnonzero(scores >= min_score)
        title = f"{len(shown)} found"
        if objects is not None:
            title += f", {len(objects[i][0])} true"
            for box, label, _ in zip(*objects[i], strict=True):
                _draw_box(axes, box, colors[label], linestyle="--", linewidth=1.0)
        for k in shown[::-1]:  # the best lie on top
            _draw_box(axes, boxes[k], colors[classes[k]], linewidth=1.6)
            _name_box(axes, boxes[k], f"{names[classes[k]]} {scores[k]:.0%}", colors[classes[k]])
        axes.set_title(title, fontsize=9)
    return write(figure, path)


def _draw_box(axes, box, color, **style):
    from matplotlib.patches import Rectangle

    left, top = box[:2] - 0.5  # the first pixel's middle is at 0
    axes.add_patch(Rectangle((left, top), *(box[2:] - box[:2]), fill=False, ec=color, **style))


def _name_box(axes, box, text, color):
    """The name within the upper left corner of a box, or of the image where the box leaves it."""
    left, top = np.maximum(box[:2], 0) - 0.5
    dark = color @ np.array([0.299, 0.587, 0.114], "float32") < 0.5
    axes.text(
        left,
        top,
        text,
        color="white" if dark else "black",
        fontsize=6.5,
        va="top",
        bbox={"facecolor": color, "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
        parse_math=False,
        clip_on=True,
    )


def _of_each_image(name, values, key, count, images):
    """`(boxes, classes, scores)` of each image, without padding."""
    if isinstance(values, dict):
        values = {k: np.asarray(v) for k, v in values.items()}
        one_for_each(name, values["boxes"], images)
        values = [{k: v[i] for k, v in values.items()} for i in range(len(images))]
    one_for_each(name, values, images)
    return [_of_one_image(name, value, key, count) for value in values]


def _of_one_image(name, value, key, count):
    boxes = np.asarray(value["boxes"], "float64")
    boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
    classes = np.asarray(value[key])
    classes = classes.astype("int64") if classes.size == 0 else classes
    scores = np.asarray(value.get("scores", np.ones(len(boxes))), "float64")
    if boxes.shape != (len(boxes), 4) or not classes.shape == scores.shape == (len(boxes),):
        raise ValueError(
            f'`{name}` must have "boxes" of the shape (n, 4) and a class and a score for each. '
            f"Received: the shapes {boxes.shape}, {classes.shape} and {scores.shape}"
        )
    if classes.dtype.kind not in "iu" or (classes.size and not classes.min() >= -1):
        raise ValueError(
            f'`{name}` must have integers from -1 under "{key}". '
            f"Received: {classes.dtype}{f' from {classes.min()}' if classes.size else ''}"
        )
    if classes.size and classes.max() >= count:
        raise ValueError(
            f'`{name}` must have "{key}" in [0, {count}), as there are {count} class names. '
            f"Received: {classes.max()}"
        )
    there = classes >= 0
    return boxes[there], classes[there], scores[there]
