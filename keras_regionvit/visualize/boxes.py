"""What a detector finds: images with boxes, masks and keypoints.

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
from keras_regionvit.visualize.shapes import checked_edges, draw_keypoints, painted, shapes_of

COLUMNS = 3


def plot_detections(
    images, detections, class_names, path=None, truth=None, min_score=0.3, edges=()
):
    """Images with what a detector found, coloured by classes; true boxes are dashed.

    Args:
        images: integers on 0..255 or floats on 0..1, (N, H, W), (N, H, W, 1) or (N, H, W, 3), or
            a list of such images of any sizes.
        detections: for each image a dict with "boxes" (n, 4), xyxy in its pixels, "scores" (n,)
            and "classes", integers (n,) in [0, K), -1 for padding; or one dict of arrays
            with N rows, as `keras_regionvit.RetinaNet` gives it. "masks", integers or booleans
            (n, H, W), lie half-transparent over the image; of "keypoints" (n, J, 3), x and y in
            pixels and a score, those with a score above 0 are dots.
        class_names: K names.
        path: optional path of a `.png` file to write.
        truth: optional, the objects, likewise, with "labels" in place of "scores" and "classes".
        min_score: detections with a lower score are not drawn.
        edges: pairs of numbers of keypoints, in [0, J), that lines join.

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
    known: list[dict] = [{}] * len(images)
    if truth is not None:
        known = _of_each_image("truth", truth, "labels", count, images)
    colors = class_colors(count)
    names = [plain(name) for name in class_names]

    columns = min(len(images), COLUMNS)
    rows = -(-len(images) // columns)
    figure = new_figure(4.2 * columns, 4.2 * rows)
    for i, image in enumerate(images):
        axes = figure.add_subplot(rows, columns, i + 1)
        shown = found[i]["scores"] >= min_score
        shown = {key: value[shown][::-1] for key, value in found[i].items()}  # the best on top
        title = f"{len(shown['boxes'])} found"
        if known[i]:
            title += f", {len(known[i]['boxes'])} true"
        _draw_image(axes, image, shown, colors)
        _draw_objects(axes, shown, known[i], (names, colors, edges))
        axes.set_title(title, fontsize=9)
    return write(figure, path)


def _draw_image(axes, image, shown, colors):
    """An image, under the masks of what is shown where there are any."""
    if "masks" in shown:
        image = painted(image, shown["masks"], colors[shown["classes"]])
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[], autoscale_on=False)


def _draw_objects(axes, shown, known, style):
    """True boxes, then boxes, keypoints and names of what is shown; a later one lies on top."""
    names, colors, edges = style
    for box, label in zip(known.get("boxes", ()), known.get("classes", ()), strict=True):
        _draw_box(axes, box, colors[label], linestyle="--", linewidth=1.0)
    if "keypoints" in shown:
        edges = checked_edges(edges, shown["keypoints"])
    for k, (box, kind) in enumerate(zip(shown["boxes"], shown["classes"], strict=True)):
        _draw_box(axes, box, colors[kind], linewidth=1.6)
        if "keypoints" in shown:
            draw_keypoints(axes, shown["keypoints"][k], colors[kind], edges)
        _name_box(axes, box, f"{names[kind]} {shown['scores'][k]:.0%}", colors[kind])


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
    """What is known of each image's objects, dicts of arrays without padding."""
    if isinstance(values, dict):
        values = {k: np.asarray(v) for k, v in values.items()}
        one_for_each(name, values["boxes"], images)
        values = [{k: v[i] for k, v in values.items()} for i in range(len(images))]
    one_for_each(name, values, images)
    return [
        _of_one_image(name, value, key, count, image)
        for value, image in zip(values, images, strict=True)
    ]


def _of_one_image(name, value, key, count, image):
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
    objects = {"boxes": boxes, "classes": classes, "scores": scores}
    if key == "classes":  # true objects have their boxes drawn alone
        objects |= shapes_of(name, value, len(boxes), image)
    return {key: array[classes >= 0] for key, array in objects.items()}
