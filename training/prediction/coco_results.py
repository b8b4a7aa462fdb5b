"""Detections as the JSON of COCO's results: what number an image has, and a class.

A row is `{"image_id", "category_id", "bbox": [x, y, width, height], "score", "file_name"}`, in the
photo's own pixels, with `"segmentation"`, run lengths, or `"keypoints"` where the model gives them.
"""

import json
from pathlib import PurePosixPath

from keras_regionvit.files import open_regular
from training.data.sources.instance_masks import encoded
from training.evaluators.shapes import MIDDLE
from training.prediction.drawing import png_mask

SHAPES = ("masks", "keypoints")


class CocoNumbers:
    """The numbers by which COCO's results name images and classes.

    Without a file of annotations an image has the number that its name is, such as 139 of
    `000000000139.jpg`, or else its name as text; classes have the numbers of the data set that the
    model was trained on, or else count from 0.

    Args:
        labels: names of the classes.
        category_ids: optional, the number of each class.
        annotations: optional path of a COCO file; its images have their ids by their file names,
            its categories by their names.

    Raises:
        ValueError: the file cannot be read, or lacks a class of the model.

    Example:

    >>> CocoNumbers(["cat"]).image_id("val2017/000000000139.jpg")
    139
    """

    def __init__(self, labels, category_ids=None, annotations=None):
        self.labels, self.annotations = labels, annotations
        self.category_ids = category_ids or tuple(range(len(labels)))
        self._ids: dict = {}
        self._seen: dict = {}
        if annotations:
            self._read()

    def _read(self):
        try:
            with open_regular(self.annotations) as file:
                content = json.load(file)
            images = [(image["file_name"], image["id"]) for image in content["images"]]
            numbers = {one["name"]: one["id"] for one in content["categories"]}
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            raise ValueError(
                f"--annotations {self.annotations} cannot be read as a COCO file with images and "
                "categories."
            ) from None
        for name, number in images:
            for known in {name, PurePosixPath(name).name}:
                # a name without its folder is clear where one image has it
                self._ids[known] = None if known in self._ids else number
        lacking = [name for name in self.labels if name not in numbers]
        if lacking:
            raise ValueError(
                f"--annotations {self.annotations} has no category {lacking[0]!r}, which the "
                "model knows."
            )
        self.category_ids = tuple(numbers[name] for name in self.labels)

    def image_id(self, name):
        """The number of an image, or its name.

        Args:
            name: the image's path, with `/`.

        Raises:
            ValueError: the annotations lack the image, or another one had the same number.
        """
        path = PurePosixPath(name)
        if self.annotations:
            number = self._ids.get(name)
            number = self._ids.get(path.name) if number is None else number
            if number is None:
                raise ValueError(f"--annotations {self.annotations} has no single image {name}.")
        else:
            stem = path.stem
            number = int(stem) if stem.isascii() and stem.isdecimal() else name
        other = self._seen.setdefault(number, name)
        if other != name:
            raise ValueError(
                f"{other} and {name} both have the image_id {number}: give --annotations, a COCO "
                "file with the id of each."
            )
        return number

    def rows(self, name, found):
        """The rows of an image.

        Args:
            name: the image's path, with `/`.
            found: a dict of `training.prediction.dense.DensePredictor`.

        Returns:
            A list of dicts of plain data, the best first.
        """
        number, made = self.image_id(name), []
        boxes = found["boxes"].astype("float64").tolist()
        for i, (left, top, right, bottom) in enumerate(boxes):
            made.append(
                {
                    "image_id": number,
                    "category_id": self.category_ids[found["classes"][i]],
                    "bbox": [left, top, right - left, bottom - top],
                    "score": found["scores"][i].item(),
                    "file_name": name,
                    **_shape({key: found[key][i] for key in SHAPES if key in found}),
                }
            )
        return made


def _shape(found):
    """What COCO has of the mask or the keypoints of one object."""
    made = {}
    if "masks" in found:
        pixels = png_mask(found["masks"])
        made["segmentation"] = {"size": list(pixels.shape), "counts": encoded(pixels).decode()}
    if "keypoints" in found:
        points = found["keypoints"].astype("float64") - (MIDDLE, MIDDLE, 0)
        made["keypoints"] = points.ravel().tolist()
    return made
