"""Detectors as SavedModels: encoded images to boxes in their own pixels, masks and keypoints.

B: images; D: detections of an image; K: keypoints of one; S: side of the canvas; C: channels.
"""

import tensorflow as tf

from keras_regionvit.export.dense import (
    answers,
    bytes_spec,
    images_spec,
    traced,
    write_saved_model,
)
from keras_regionvit.images.decode import MAX_PIXELS
from keras_regionvit.tasks.detection.instance_masks import THRESHOLD, paste


def export_detector(
    model,
    path,
    labels=None,
    *,
    size,
    fill=(0.0, 0.0, 0.0),
    keep_aspect=True,
    max_pixels=MAX_PIXELS,
    card=None,
):
    """Writes the SavedModel of a detector, whole or not at all.

    Its signatures are `serving_default` of `image_bytes`, string (B,): JPEG, PNG, GIF (the first
    frame) or BMP; and `predict_pixels` of `images`, float32 (B, S, S, C) on 0..255. Both give
    `boxes` float32 (B, D, 4), xyxy in pixels of the image as sent; `scores` float32, `classes`
    int32 and `labels` string (B, D); and `count` int32 (B,): what follows is zeros, -1 and empty.
    `serving_default` also gives `valid` bool (B,): an image that cannot be read has no detections,
    and changes nothing for the others. Of a `KeypointRCNN` both give `keypoints` float32
    (B, D, K, 3): x and y in pixels of the image, and a score. Of a `MaskRCNN` `serving_default`
    gives `masks` string (B, D): a grey PNG of the size of the image as sent, 255 on the object and
    0 beside it, empty after `count`; `predict_pixels` gives what the model gives, masks on the grid
    of their boxes, and in pixels if it pastes them.

    Args:
        model: a `keras_regionvit.RetinaNet`, `MaskRCNN` or `KeypointRCNN` that normalises by
            itself.
        path: the folder to make, which must not exist yet; its parents are made.
        labels: optional names of the classes; without, these are named by their numbers.
        size: S, that images are resized to fit; or the shorter and the longer side of a canvas that
            lies or stands as an image does, for a model of images of any size.
        fill: C numbers on 0..255, the colour beside an image, the mean that the model subtracts.
        keep_aspect: whether rows and columns are scaled alike; else an image fills the canvas.
        max_pixels: larger images are not decoded.
        card: optional dict of plain data to add to the card, such as `recipe` and `metrics`.

    Raises:
        ValueError: `path` exists.
        OSError: the folder cannot be written.

    Example:

    >>> export_detector(detector, "garments/1", names, size=640)
    >>> serve = tf.saved_model.load("garments/1").signatures["serving_default"]
    >>> serve(image_bytes=tf.constant([open("photo.jpg", "rb").read()]))["boxes"]
    """
    names = [*(labels or map(str, range(model.num_classes))), ""]  # the last one after `count`
    canvas = (size, fill, keep_aspect)
    functions = _functions(model, names, (canvas, max_pixels))
    write_saved_model(model, path, functions, labels, canvas, card or {})


def _functions(model, names, canvas):
    """The functions behind the signatures; `canvas` are the last arguments of `answers`."""
    names = tf.constant(names)

    def named(found):
        return {**found, "labels": tf.gather(names, found["classes"] % len(names))}

    def detect(images):
        return model(images, training=False)

    def of_bytes(image_bytes):
        def respond(*found):
            return named(_in_own_pixels(*found))

        return answers(image_bytes, detect, respond, *canvas)

    return {
        "serving_default": traced(of_bytes, bytes_spec()),
        "predict_pixels": traced(lambda images: named(detect(images)), images_spec(model)),
    }


def _in_own_pixels(found, sides, whole, valid):
    """Detections on canvases as those of their images, none for an image that is not valid."""
    # (rows, columns) to (x, y, x, y)
    xyxy = [1, 0, 1, 0]
    limits = tf.gather(tf.cast(sides, tf.float32), xyxy, axis=1)[:, None]
    whole = tf.gather(tf.cast(whole, tf.float32), xyxy, axis=1)[:, None]
    boxes = tf.math.divide_no_nan(found["boxes"] * limits, whole)
    count = tf.where(valid, found["count"], 0)
    real = tf.range(found["scores"].shape[1]) < count[:, None]
    own = {
        "boxes": tf.where(real[..., None], tf.minimum(boxes, limits), 0.0),
        "scores": tf.where(real, found["scores"], 0.0),
        "classes": tf.where(real, found["classes"], -1),
        "count": count,
    }
    if "box_masks" in found:
        # on boxes as they were found: what is cut off of a box is cut off of its mask
        own["masks"] = _masks_as_png(found["box_masks"], boxes, sides, count)
    if "keypoints" in found:
        limits, whole = limits[:, None, :, :2], whole[:, None, :, :2]
        xy, score = tf.split(found["keypoints"], [2, 1], axis=-1)
        xy = tf.minimum(tf.math.divide_no_nan(xy * limits, whole), limits)
        own["keypoints"] = tf.where(real[..., None, None], tf.concat([xy, score], -1), 0.0)
    return own


def _masks_as_png(masks, boxes, sides, count):
    """Masks on the grids of their boxes as PNGs of their images' sizes, string (B, D).

    One after the other, so that a hundred masks of a large photo take the memory of one.
    """
    most = masks.shape[1]

    def of_image(each):
        masks, boxes, sides, count = each

        def png(i):
            pasted = paste(masks[None, i : i + 1], boxes[None, i : i + 1], sides[0], sides[1])
            inside = tf.where(pasted[0, 0] >= THRESHOLD, tf.constant(255, tf.uint8), 0)
            return tf.io.encode_png(inside[..., None])

        found = tf.map_fn(
            png, tf.range(count), fn_output_signature=tf.string, parallel_iterations=1
        )
        return tf.ensure_shape(tf.concat([found, tf.fill([most - count], "")], 0), (most,))

    return tf.map_fn(
        of_image,
        (masks, boxes, sides, count),
        fn_output_signature=tf.TensorSpec((most,), tf.string),
        parallel_iterations=1,
    )
