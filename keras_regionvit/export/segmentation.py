"""Segmenters as SavedModels: encoded images to masks of their size.

B: images; S: side of the canvas; C: channels.
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


def export_segmenter(
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
    """Writes the SavedModel of a segmenter, whole or not at all.

    Its signatures are `serving_default` of `image_bytes`, string (B,): JPEG, PNG, GIF (the first
    frame) or BMP, which gives `mask_png`, string (B,), a grey PNG of the size of each image whose
    values are classes, and `valid` bool (B,): an image that cannot be read has an empty string,
    and changes nothing for the others; and `predict_pixels` of `images`, float32 (B, S, S, C) on
    0..255, which gives `mask`, int32 (B, S, S).

    Args:
        model: a `keras_regionvit.SemanticFPN` that normalises by itself.
        path: the folder to make, which must not exist yet; its parents are made.
        labels: optional names of the classes, kept in `assets.extra/labels.txt`.
        size: S, that images are resized to fit; or the shorter and the longer side of a canvas that
            lies or stands as an image does, for a model of images of any size.
        fill: C numbers on 0..255, the colour beside an image, the mean that the model subtracts.
        keep_aspect: whether rows and columns are scaled alike; else an image fills the canvas.
        max_pixels: larger images are not decoded.
        card: optional dict of plain data to add to the card, such as `recipe` and `metrics`.

    Raises:
        ValueError: `path` exists, or the model has more than 256 classes.
        OSError: the folder cannot be written.

    Example:

    >>> export_segmenter(segmenter, "garments/1", names, size=512)
    >>> serve = tf.saved_model.load("garments/1").signatures["serving_default"]
    >>> serve(image_bytes=tf.constant([open("photo.jpg", "rb").read()]))["mask_png"]
    """
    if model.num_classes > 256:
        raise ValueError(
            f"`model` must have 256 classes at most, as a PNG has values. "
            f"Received one of {model.num_classes}"
        )

    canvas = (size, fill, keep_aspect)
    functions = _functions(model, (canvas, max_pixels))
    write_saved_model(model, path, functions, labels, canvas, card or {})


def _functions(model, canvas):
    """The functions behind the signatures; `canvas` are the last arguments of `answers`."""

    def classes_of(images):
        return tf.argmax(model(images, training=False), axis=-1, output_type=tf.int32)

    def of_pixels(images):
        return {"mask": classes_of(images)}

    def of_bytes(image_bytes):
        def png(each):
            mask, sides, whole, valid = each
            return tf.cond(valid, lambda: _png(mask, sides, whole), lambda: b"")

        def respond(masks, *about):
            each = tf.cast(masks, tf.uint8), *about
            return {"mask_png": tf.map_fn(png, each, fn_output_signature=tf.string)}

        return answers(image_bytes, classes_of, respond, *canvas)

    return {
        "serving_default": traced(of_bytes, bytes_spec()),
        "predict_pixels": traced(of_pixels, images_spec(model)),
    }


def _png(mask, sides, whole):
    """The part of a canvas (S, S) that an image fills, in the image's size, as a PNG."""
    mask = mask[: whole[0], : whole[1], None]
    return tf.io.encode_png(tf.image.resize(mask, sides, method="nearest"))
