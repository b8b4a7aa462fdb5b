"""Sources of images with boxes or with a mask: what their `info` says, and how they are indexed."""

import functools
import os
import typing

import numpy as np
import tensorflow as tf

from keras_regionvit.images.headers import image_shape
from training.data.sources.source import Source, reader_of, shuffled_range
from training.data.sources.words import class_summary, shown


class Objects(typing.NamedTuple):
    """The objects of all images of a set, one image after the other; n of them in all.

    Attributes:
        ends: int64 (images + 1,): those of image i are `ends[i]` to `ends[i + 1]`.
        boxes: float32 (n, 4), xyxy pixels.
        labels: int64 (n,), from 0.
        crowd: bool (n,).
        area: float32 (n,), square pixels.
    """

    ends: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    area: np.ndarray


def objects_of(images):
    """The objects of images, put one behind the other.

    Args:
        images: for each image a list of `(box, label, crowd, area)`, the box xyxy.

    Returns:
        `Objects`.

    Example:

    >>> objects_of([[((0, 0, 4, 2), 1, False, 8)], []]).ends
    array([0, 1, 1])
    """
    rows = [row for image in images for row in image]
    boxes, labels, crowd, area = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Objects(
        np.cumsum([0, *map(len, images)], dtype="int64"),
        np.array(boxes, "float32").reshape(-1, 4),
        np.array(labels, "int64"),
        np.array(crowd, "bool"),
        np.array(area, "float32"),
    )


def detection_info(class_names, max_objects, category_ids):
    """The `info` of a source for detection.

    Args:
        class_names: one string a class; their order gives the labels.
        max_objects: the most objects of an image.
        category_ids: the data set's own number of each class.

    Returns:
        {"class_names": tuple of str, "channels": 3, "max_objects": int, "category_ids": tuple of
        int}.

    Example:

    >>> detection_info(["cat", "dog"], 5, [17, 18])["category_ids"]
    (17, 18)
    """
    return {
        "class_names": tuple(class_names),
        "channels": 3,
        "max_objects": int(max_objects),
        "category_ids": tuple(int(number) for number in category_ids),
    }


def segmentation_info(class_names):
    """The `info` of a source for segmentation: {"class_names": tuple of str, "channels": 3}.

    Example:

    >>> segmentation_info(["sky", "road"])["channels"]
    3
    """
    return {"class_names": tuple(class_names), "channels": 3}


def detection_source(
    name,
    class_names,
    category_ids,
    folder,
    files,
    sizes,
    objects,
    *,
    max_objects=None,
    shapes=None,
    notes=(),
):
    """A source of image files with objects.

    Args:
        name: what to call it.
        class_names: one string a class.
        category_ids: the data set's own number of each class.
        folder: where the files are.
        files: their paths within `folder`, or absolute ones.
        sizes: (rows, columns) of each image, as the data set says; the boxes count in them.
        objects: `Objects`.
        max_objects: the most objects of an image, those of other parts counted; of these if None.
        shapes: optional, masks or keypoints of the objects: `of(index, boxes)` gives more tensors
            of an image, `info` more of the source's, see `instance_shapes`.
        notes: see `Source`.

    Returns:
        A `Source`; its examples are {"image": string (), "boxes": float32 (n, 4), "labels": int64
        (n,), "crowd": bool (n,), "area": float32 (n,)}. A photo of another size than the data set
        says ends a run, with its name.
    """
    if max_objects is None:
        max_objects = int(np.diff(objects.ends).max(initial=0))
    paths = [os.path.join(folder, file) for file in files]
    names, sizes = tf.constant([os.fsencode(path) for path in paths]), np.array(sizes, "int32")
    expected, found = tf.constant(sizes), Findings()
    objects_at = _reader_of(Objects(*map(tf.constant, objects)), shapes)
    name_of = functools.partial(tf.gather, names)
    read = reader_of(paths, name_of)

    def example_of(index):
        encoded = read(index)
        arguments = name_of(index), image_shape(encoded), expected[index]
        index = tf.ensure_shape(found.call(_check_size, tf.int64, index, *arguments), ())
        return {"image": encoded, **objects_at(index)}

    info = detection_info(class_names, max_objects, category_ids)
    return Source(
        name=name,
        info=info | (shapes.info if shapes else {}),
        count=len(files),
        records=lambda epoch_seed: shuffled_range(len(files), epoch_seed),
        example_of=example_of,
        key_of=lambda index: {"index": index, "name": found.insist_none(name_of(index), index)},
        summary=class_summary(class_names, np.bincount(objects.labels, minlength=len(class_names))),
        notes=tuple(notes),
        sizes=sizes,
    )


def _reader_of(rows, shapes):
    """A function of an index that gives the tensors of the objects of an image."""

    def read(index):
        begin, end = rows.ends[index], rows.ends[index + 1]
        boxes = rows.boxes[begin:end]
        return {
            "boxes": boxes,
            "labels": rows.labels[begin:end],
            "crowd": rows.crowd[begin:end],
            "area": rows.area[begin:end],
            **(shapes.of(index, boxes) if shapes else {}),
        }

    return read


def _check_size(index, name, found, expected):
    """`index`, or an error: the photo has another size than its boxes are of."""
    if tuple(found) != tuple(expected):
        raise ValueError(
            f"{shown(os.fsdecode(name))} has {found[1]}x{found[0]} pixels, but its boxes are of an "
            f"image of {expected[1]}x{expected[0]}; give the size and the boxes that fit it."
        )
    return index


class Findings:
    """What is wrong with the annotations of images, found as they are read.

    An image that cannot be read may be left out of a run, wrong annotations end it: reading notes
    what it finds and fails, and the key of that record then fails with the sentence.
    """

    def __init__(self):
        self.sentences: dict[int, str] = {}

    def call(self, function, dtype, index, *arguments):
        """`function(index, *arguments)` inside of `tf.data`; what it raises is noted.

        Args:
            function: of NumPy values; a `ValueError` of it says what is wrong. Its result must be
                used: the graph may get rid of a call whose result is not.
            dtype: of its result.
            index: int64 scalar tensor.
            *arguments: more tensors.

        Returns:
            A tensor of unknown shape.
        """

        def call(index, *arguments):
            try:
                return function(index, *arguments)
            except ValueError as error:
                self.sentences[int(index)] = str(error)
                raise

        # declared free of state: a stateful function would be run by one thread only
        return tf.numpy_function(call, [index, *arguments], dtype, stateful=False)

    def insist_none(self, name, index):
        """`name`, a string scalar, or an error with what was noted of the image."""

        def insist(name, index):
            if int(index) in self.sentences:
                raise ValueError(self.sentences[int(index)])
            return name

        name = tf.numpy_function(insist, [name, index], tf.string, stateful=False)
        return tf.ensure_shape(name, ())
