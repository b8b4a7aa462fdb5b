"""What a segmentation model sees: images under the colours of classes.

N images, H W their pixels, K classes.
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

NO_CLASS = 255  # of a pixel in a mask
MOST_NAMED = 20  # classes in the legend
_OPACITY = 0.6


def plot_masks(images, masks, class_names, path=None, truth=None):
    """Images, each beside itself under the colours of its classes, and under the true ones.

    A legend names the twenty classes that cover most.

    Args:
        images: integers on 0..255 or floats on 0..1, (N, H, W), (N, H, W, 1) or (N, H, W, 3), or
            a list of such images of any sizes.
        masks: integers (N, H, W), or a list of N masks (H, W) of their images' sizes: classes in
            [0, K), 255 where a pixel has none.
        class_names: K names.
        path: optional path of a `.png` file to write.
        truth: optional, the true masks, likewise.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: the shapes do not fit, a pixel or a class is out of range, or `path` is
            no `.png` in a folder that exists.
        WriteError: the file cannot be written.
        ImportError: matplotlib is missing.

    Example:

    >>> plot_masks(images, model.predict(images).argmax(-1), ["wall", "sky"], "masks.png")
    """
    images, count = pixels_of_each(images), len(class_names)
    panels = {"predicted": _checked("masks", masks, count, images)}
    if truth is not None:
        panels["true"] = _checked("truth", truth, count, images)
    colors = class_colors(count)

    columns, rows = 1 + len(panels), len(images)
    figure = new_figure(3.4 * columns + 1.6, 3.2 * rows)
    for i, image in enumerate(images):
        shown = {"image": image}
        shown.update({title: _painted(image, each[i], colors) for title, each in panels.items()})
        for column, (title, pixels) in enumerate(shown.items()):
            axes = figure.add_subplot(rows, columns, i * columns + column + 1)
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            if i == 0:
                axes.set_title(title, fontsize=9)
    _add_legend(figure, panels.values(), class_names, colors)
    return write(figure, path)


def _painted(image, mask, colors):
    """An image under the colours of a mask; what has no class stays as it is."""
    base = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image
    painted = (1 - _OPACITY) * base + _OPACITY * colors[np.where(mask == NO_CLASS, 0, mask)]
    return np.where((mask == NO_CLASS)[..., None], base, painted)


def _add_legend(figure, panels, class_names, colors):
    """The names of the classes that cover most pixels of all masks."""
    from matplotlib.patches import Patch

    labels = np.concatenate([mask.ravel() for masks in panels for mask in masks])
    pixels = np.bincount(labels, minlength=NO_CLASS + 1)[: len(class_names)]
    seen = [k for k in np.argsort(-pixels, kind="stable")[:MOST_NAMED] if pixels[k]]
    if not seen:
        return
    patches = [Patch(color=colors[k]) for k in seen]
    # named afterwards: a legend leaves out what begins with "_", and reads "$" as mathematics
    numbers = [str(k) for k in seen]
    legend = figure.legend(patches, numbers, loc="outside right upper", fontsize=8, frameon=False)
    for text, k in zip(legend.get_texts(), seen, strict=True):
        text.set_parse_math(False)
        text.set_text(plain(class_names[k]))


def _checked(name, masks, count, images):
    """Masks as a list of int64 arrays."""
    one_for_each(name, masks, images)
    found = []
    for image, mask in zip(images, map(np.asarray, masks), strict=True):
        if mask.shape != image.shape[:2] or mask.dtype.kind not in "iu":
            raise ValueError(
                f"`{name}` must be integers of their images' sizes, here {image.shape[:2]}. "
                f"Received: {mask.dtype} of the shape {mask.shape}"
            )
        others = mask[mask != NO_CLASS]
        if others.size and not (others.min() >= 0 and others.max() < count):
            raise ValueError(
                f"`{name}` must lie in [0, {count}), as there are {count} class names, or be "
                f"{NO_CLASS}. Received: {others.min()} to {others.max()}"
            )
        found.append(mask.astype("int64"))
    return found
