"""Predictions as PNG files: photos with boxes or under the colours of classes, masks.

H, W: rows and columns of a photo; K: classes.
"""

import io
import os
from pathlib import Path, PurePosixPath

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from keras_regionvit.files import WriteError, replacing
from keras_regionvit.images.decode import decode_image
from keras_regionvit.visualize.figure import class_colors

OPACITY = 0.6  # of a class's colour
MIN_SCORE = 0.3  # of a detection that is drawn


class PngFolder:
    """A folder into which a PNG is written for each photo, under its name; each is whole or absent.

    Args:
        option: what the folder was given by, such as "--masks".
        folder: its path; it is made.

    Raises:
        WriteError: it cannot be made.

    Example:

    >>> PngFolder("--masks", "masks").write("photos/a.jpg", "a.jpg", image)
    """

    def __init__(self, option, folder):
        self.option, self.folder = option, Path(folder)
        self._sources: dict = {}
        self._make(self.folder)

    def _make(self, folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{self.option} {folder} cannot be made: {error.strerror}.") from error

    def write(self, path, name, image):
        """Writes the PNG of a photo.

        Args:
            path: of the photo.
            name: the photo's name, with `/`; the PNG has it with another ending.
            image: of Pillow.

        Raises:
            ValueError: two photos have the same name but for its ending, or the PNG would take the
                photo's place.
            WriteError: it cannot be written.
        """
        target = self.folder / PurePosixPath(name).with_suffix(".png")
        other = self._sources.setdefault(target, path)
        if other != path:
            raise ValueError(f"{self.option}: {other} and {path} would both become {target}.")
        if target.exists() and os.path.samefile(target, path):
            raise ValueError(f"{self.option} {self.folder} would overwrite the photo {path}.")
        self._make(target.parent)
        with replacing(target) as aside:
            image.save(aside, "PNG")


def palette_png(mask, classes):
    """A mask as a PNG whose values are classes, shown in their colours.

    Args:
        mask: uint8 (H, W), classes from 0.
        classes: int K.

    Returns:
        An image of Pillow with a palette.
    """
    image = Image.fromarray(mask)
    image.putpalette(_rgb(classes).tobytes())  # of a grey image it makes one with a palette
    return image


def under_colors(encoded, mask, classes):
    """A photo under the colours of its classes, an image of Pillow."""
    painted = Image.fromarray(_rgb(classes)[mask])
    return Image.blend(_photo(encoded), painted, OPACITY)


def png_mask(encoded):
    """The pixels of an object, boolean (H, W), from the PNG that a Mask R-CNN gives."""
    return np.asarray(Image.open(io.BytesIO(encoded))) > 0


def with_boxes(encoded, found, labels):
    """A photo with its detections: boxes, and masks and keypoints if there are; of Pillow.

    Args:
        encoded: the photo's bytes.
        found: a dict of `training.prediction.dense.DensePredictor`.
        labels: K names of classes.
    """
    image, colors = _photo(encoded), _rgb(len(labels))
    draw = ImageDraw.Draw(image)
    side = max(image.size)
    width, font = max(1, side // 320), ImageFont.load_default(max(10, side // 45))
    (shown,) = np.nonzero(found["scores"] >= MIN_SCORE)
    for i in reversed(shown):  # the best lie on top
        box, score, label = (found[name][i].tolist() for name in ("boxes", "scores", "classes"))
        color = tuple(colors[label].tolist())
        if "masks" in found:
            inside = Image.fromarray(np.uint8(255 * OPACITY * png_mask(found["masks"][i])))
            image.paste(color, None, inside)
        left, top, right, bottom = box
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), None, color, width)
        text = f"{labels[label]} {score:.0%}"
        draw.rectangle(draw.textbbox((left, top), text, font), color)
        light = np.dot(colors[label], (0.299, 0.587, 0.114)) >= 128
        draw.text((left, top), text, "black" if light else "white", font)
        for x, y, _ in found["keypoints"][i].tolist() if "keypoints" in found else ():
            draw.circle((x, y), 2 * width, color, "white")
    return image


def _photo(encoded):
    """The photo as the model sees it, in its own size."""
    return Image.fromarray(decode_image(tf.constant(encoded), 3).numpy())


def _rgb(classes):
    """The colours of classes, uint8 (K, 3)."""
    return np.rint(255 * class_colors(classes)).astype("uint8")
