"""A figure without pyplot, a file of it, and images as figures show them."""

import colorsys
import functools
import io
import os

import numpy as np

from keras_regionvit.files import replacing

LONGEST = 32  # characters of a name in a figure


def new_figure(width, height):
    """An empty figure.

    Args:
        width: in inches.
        height: in inches.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.
    """
    return _figure_class()(figsize=(width, height))


@functools.cache
def _figure_class():
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib, which the extra keras_regionvit[visualize] installs."
        ) from error

    class NotebookFigure(Figure):
        """A figure that notebooks display although pyplot does not know it."""

        def __init__(self, **kwargs):
            super().__init__(layout="constrained", **kwargs)
            FigureCanvasAgg(self)

        def _repr_png_(self):
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=100)
            return buffer.getvalue()

    return NotebookFigure


def write(figure, path):
    """Writes a figure as a PNG, whole or not at all.

    Args:
        figure: a `matplotlib.figure.Figure`.
        path: the file, ending in `.png`; `None` writes nothing.

    Returns:
        `figure`.

    Raises:
        ValueError: `path` does not end in `.png`, or its folder does not exist.
        WriteError: the file cannot be written.
    """
    if path is None:
        return figure
    text = os.fspath(path)
    folder, name = os.path.split(text)
    if not name.lower().endswith(".png"):
        raise ValueError(f"`path` must end in .png. Received: {text!r}")
    if folder and not os.path.isdir(folder):
        raise ValueError(f"`path` must lie in a folder that exists. Received: {text!r}")
    with replacing(path) as aside:
        figure.savefig(aside, format="png", dpi=150)
    return figure


def plain(name):
    """The name of a class as a line of a figure: short, and of characters that can be drawn.

    The text that shows it needs `parse_math=False`: a dollar is a dollar.

    >>> plain("US$ 5")
    'US$ 5'
    """
    text = " ".join(str(name).encode("utf-8", "replace").decode("utf-8").split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def pixels(images):
    """Images as figures show them.

    Args:
        images: (N, H, W), (N, H, W, 1) or (N, H, W, 3) with N > 0: integers on 0..255 or floats
            on 0..1.

    Returns:
        float32 (N, H, W) or (N, H, W, 3) on 0..1.

    Raises:
        ValueError: the shape is another, or a pixel is out of range.
    """
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if len(images) == 0 or not (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)):
        raise ValueError(
            "`images` must have the shape (N, H, W), (N, H, W, 1) or (N, H, W, 3) with N > 0. "
            f"Received: {images.shape}"
        )
    top = 255 if images.dtype.kind in "iu" else 1
    if images.min() < 0 or images.max() > top:
        raise ValueError(
            "`images` must be integers on 0..255 or floats on 0..1. "
            f"Received: {images.dtype} on {images.min()}..{images.max()}"
        )
    return images.astype("float32") / top


def pixels_of_each(images):
    """Images of any sizes as figures show them.

    Args:
        images: see `pixels`, or a list of such images, (H, W), (H, W, 1) or (H, W, 3) each.

    Returns:
        A list of float32 arrays (H, W) or (H, W, 3) on 0..1.

    Raises:
        ValueError: there is no image, a shape is another, or a pixel is out of range.
    """
    if len(images) == 0:
        raise ValueError("`images` must hold at least one image.")
    return [pixels(np.asarray(image)[None])[0] for image in images]


def class_colors(count):
    """A colour for each class; those of neighbours differ most.

    Args:
        count: int K.

    Returns:
        float32 (K, 3), RGB on 0..1.
    """
    golden = 0.618034  # of a turn: such steps around the hues never come close to an earlier one
    return np.array(
        [colorsys.hsv_to_rgb(0.6 + golden * i, 0.85, 1.0 - 0.2 * (i % 3)) for i in range(count)],
        "float32",
    ).reshape(count, 3)


def one_for_each(name, values, images):
    """Refuses what is not one for each image.

    Args:
        name: of the argument.
        values: a sized collection.
        images: a list.

    Raises:
        ValueError: there are more or less.
    """
    if len(values) != len(images):
        raise ValueError(
            f"`{name}` must have one entry for each of {len(images)} images. "
            f"Received: {len(values)}"
        )
