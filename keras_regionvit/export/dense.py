"""What SavedModels of detectors and segmenters share: images on a canvas, and what is written.

B: images; S: side of the canvas; C: channels.
"""

import platform

import keras
import numpy as np
import tensorflow as tf

from keras_regionvit.export.model_card import LABELS, write_card
from keras_regionvit.export.warmup import WARMUP, write_warmup
from keras_regionvit.files import replacing_folder
from keras_regionvit.images.batch import decoded_batch
from keras_regionvit.images.canvas import canvas_sides, fitted_sides, on_canvas, turned
from keras_regionvit.images.decode import MAX_PIXELS, with_channels
from keras_regionvit.version import VERSION


def answers(encoded, model, respond, canvas, max_pixels=MAX_PIXELS):
    """What is said of encoded images, each on a canvas as evaluation has it.

    A canvas of two sides lies or stands as an image does; both kinds pass the model by themselves.

    Args:
        encoded: string (B,): JPEG, PNG, GIF (its first frame) or BMP.
        model: function of images, float32 (B, h, w, C) on 0..255, gives a nest of tensors.
        respond: function `(outputs, sides, whole, valid)` of what the model gives, rows and columns
            of each image and of what it fills of its canvas, int32 (B, 2), and `valid`; it gives a
            dict of tensors with B rows.
        canvas: `(size, fill, keep_aspect)`, see `export_detector`.
        max_pixels: larger images are not decoded.

    Returns:
        The dict, and `valid` bool (B,): false for an image that cannot be read.
    """
    size, fill, keep_aspect = canvas
    images, sides, whole, valid = canvases(encoded, size, fill, keep_aspect, max_pixels)
    count = tf.size(valid)

    def of(images, rows):
        picked = [tf.gather(x, rows) for x in (sides, whole, valid)]
        outputs = model(images)
        return respond(tf.nest.map_structure(lambda x: x[: tf.size(rows)], outputs), *picked)

    if isinstance(size, int):
        # one row of images at least: TensorFlow's convolutions fail without any
        return {**of(images, tf.range(count)), "valid": valid}
    stands = (sides[:, 0] > sides[:, 1])[:count]
    lying, standing = (tf.where(stands == kind)[:, 0] for kind in (False, True))
    shorter = min(size)

    def lie():
        return of(_rows(images, lying)[:, :shorter], lying)

    def stand():
        return of(_rows(images, standing)[:, :, :shorter], standing)

    def both():
        order = [tf.cast(lying, tf.int32), tf.cast(standing, tf.int32)]
        return tf.nest.map_structure(lambda *x: tf.dynamic_stitch(order, x), lie(), stand())

    some_stand, all_stand = tf.reduce_any(stands), tf.size(standing) == count
    found = tf.cond(some_stand, lambda: tf.cond(all_stand, stand, both), lie)
    return {**found, "valid": valid}


def _rows(images, rows):
    """Those rows of images; the first where there are none, as convolutions fail without any."""
    return tf.cond(tf.size(rows) > 0, lambda: tf.gather(images, rows), lambda: images[:1])


def canvases(encoded, size, fill, keep_aspect, max_pixels=MAX_PIXELS):
    """Encoded images on a canvas each, as evaluation has them; zeros where one cannot be read.

    Args:
        encoded: string (B,): JPEG, PNG, GIF (its first frame) or BMP.
        size: S, or the shorter and the longer side of a canvas that lies or stands as an image
            does; what comes out are then squares of the longer side, which hold either.
        fill: C numbers, the colour beside an image.
        keep_aspect: whether rows and columns are scaled alike; else an image fills the canvas.
        max_pixels: larger images are not decoded.

    Returns:
        `(images, sides, whole, valid)`: float32 (B, S, S, C) on 0..255; rows and columns of each
        image, and of what it fills of its canvas, int32 (B, 2); bool (B,). There is one row of
        images at least: TensorFlow's convolutions fail without any.
    """
    square = size if isinstance(size, int) else max(size)

    def make(image):
        image = with_channels(image, len(fill))
        sides = tf.shape(image)[:2]
        fit = size if isinstance(size, int) else turned(size, sides)
        whole = fitted_sides(sides, fit, keep_aspect)
        return on_canvas(image, square, whole, fill), sides, whole

    specs = (
        tf.TensorSpec((square, square, len(fill)), tf.float32),
        tf.TensorSpec((2,), tf.int32),
        tf.TensorSpec((2,), tf.int32),
    )
    made, valid = decoded_batch(encoded, make, specs, max_pixels, at_least=1)
    return *made, valid


def images_spec(model):
    """The specification of `images`: float32 (None, *what the model takes)."""
    return tf.TensorSpec((None, *model.input.shape[1:]), tf.float32, name="images")


def bytes_spec():
    """The specification of `image_bytes`: string (None,)."""
    return tf.TensorSpec((None,), tf.string, name="image_bytes")


def traced(function, spec):
    """A `tf.function` of one tensor, traced."""
    function = tf.function(function, input_signature=[spec], autograph=False)
    function.get_concrete_function()
    return function


def write_saved_model(model, path, functions, labels, canvas, card):
    """Writes the SavedModel of some functions, whole or not at all.

    Args:
        model: the `keras.Model`.
        path: the folder to make, which must not exist yet.
        functions: traced functions by the names of their signatures.
        labels: optional names of the classes.
        canvas: `(size, fill, keep_aspect)`, see `export_detector`; the card has it.
        card: dict of plain data to add to the card.

    Raises:
        ValueError: `path` exists.
        OSError: the folder cannot be written.
    """
    size, fill, keep_aspect = canvas
    shown = size if isinstance(size, int) else list(size)
    about = {"canvas": {"size": shown, "fill": list(fill), "keep_aspect": keep_aspect}}
    archive = keras.export.ExportArchive()
    with replacing_folder(path) as aside:
        for name, function in functions.items():
            archive.add_endpoint(name, function)  # track(model) would write the weights twice
        archive.write_out(str(aside), verbose=False)
        (aside / LABELS).parent.mkdir(exist_ok=True)
        if labels is not None:
            (aside / LABELS).write_text("".join(f"{label}\n" for label in labels), "utf-8")
        write_warmup(aside / WARMUP, _requests(model, functions, size))
        write_card(aside, _about(model, functions) | about | card)


def _requests(model, functions, size):
    """A request for each signature."""
    height, width, channels = model.input.shape[1:]
    rows, columns = canvas_sides(size)
    images = np.zeros((1, height or rows, width or columns, channels), "float32")
    encoded = [tf.io.encode_png(np.zeros((rows, columns, 3), "uint8")).numpy()]
    for name, function in functions.items():
        spec = function.input_signature[0]
        yield name, {spec.name: encoded if spec.dtype == tf.string else images}


def _about(model, functions):
    """What the card says of any model."""
    return {
        "name": model.name,
        "parameters": model.count_params(),
        "images": list(model.input.shape[1:]),
        "classes": model.num_classes,
        "signatures": {
            name: {
                "input": function.input_signature[0].name,
                "outputs": sorted(function.get_concrete_function().structured_outputs),
            }
            for name, function in functions.items()
        },
        "versions": {
            "keras_regionvit": VERSION,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
