"""A small classifier, its SavedModel and the folder of its run, for the tests of serving.

Run as a script, it answers without Keras: tests/support/served_model.py FOLDER IN.npz OUT.npz
feeds each array of IN to the signature it is named after.
"""

import json
import pathlib
import sys

import numpy as np

SIZE, CLASSES = 24, 7
LABELS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"]
CROP_RATIO, MEAN, STD = 0.8, (120.0, 110.0, 100.0), (60.0, 50.0, 70.0)  # of its run


# Requests that must be refused: inputs and the signature they are sent to.
MALFORMED = {
    "a scalar": ({"image_bytes": b"text"}, "serving_default"),
    "two axes": ({"image_bytes": [[b"text", b"more"]]}, "serving_default"),
    "numbers": ({"image_bytes": [1.0, 2.0]}, "serving_default"),
    "no input": ({}, "serving_default"),
    "another input": ({"images": [b"text"]}, "serving_default"),
    "one too many": ({"image_bytes": [b"text"], "more": [1.0]}, "serving_default"),
    "an unknown signature": ({"image_bytes": [b"text"]}, "classify"),
    "an image without a batch": ({"images": np.zeros((24, 24, 3), "float32")}, "predict_pixels"),
    "an image of another size": ({"images": np.zeros((1, 25, 24, 3), "float32")}, "predict_pixels"),
    "a grey image": ({"images": np.zeros((1, 24, 24, 1), "float32")}, "predict_pixels"),
    "doubles": ({"images": np.zeros((1, 24, 24, 3))}, "predict_pixels"),
}


def build(channels=3):
    """A classifier of 24x24 images with weights that no initializer gives."""
    import keras

    import keras_regionvit

    keras.utils.set_random_seed(1)
    backbone = keras_regionvit.RegionViTBackbone(
        (16, 32), (1, 2), window_size=3, peg=True, input_shape=(SIZE, SIZE, channels)
    )
    model = keras_regionvit.build_classifier(backbone, classes=CLASSES, name="served")
    rng = np.random.default_rng(1)
    for variable in model.weights:
        value = keras.ops.convert_to_numpy(variable)
        variable.assign(value + 0.3 * rng.standard_normal(variable.shape))
    return model


def for_pixels(model):
    """The same classifier as a run saves it: it takes pixels on 0..255 and normalises them."""
    import keras

    import keras_regionvit

    channels = model.input.shape[-1]
    image = keras.Input(model.input.shape[1:], name="images")
    x = keras.layers.Normalization(
        mean=MEAN[:channels], variance=np.square(STD[:channels]), dtype="float32"
    )(image)
    backbone = model.layers[1]
    again = keras_regionvit.build_classifier(
        type(backbone).from_config(backbone.get_config()), model.output.shape[-1], inputs=x
    )
    again.set_weights(model.get_weights())
    return again


def write_run(folder, model, encoded=True, labels=LABELS, crop_ratio=CROP_RATIO):
    """Makes the folder of a finished run: its record, report, Keras file and SavedModel.

    The SavedModel takes encoded images, or tensors alone as those of version 0.1 did, whose
    recipes had no sections.
    """
    from keras_regionvit.export import Preprocessing, export_saved_model

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = for_pixels(model)
    channels = model.input.shape[-1]
    ratio = {"crop_ratio": crop_ratio}
    recipe = {"name": "mine", **({"evaluate": ratio} if encoded else ratio)}
    record = {"recipe": recipe, "seed": 3, "revision": "abc"}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "report.json").write_text(json.dumps({"accuracy": 0.75, "seconds": 9, "loss": 0.5}))
    model.save(folder / "model.keras")
    statistics = {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    preprocessing = Preprocessing(model.input.shape[1], crop_ratio, **statistics)
    export_saved_model(
        model,
        folder / "saved_model" / "1",
        labels,
        preprocessing=preprocessing if encoded else None,
        top_k=len(labels),
    )


def strings(values):
    """An array of bytes objects, none of them cut at a zero."""
    return np.array([*values, None], object)[:-1]


def main(folder, given, result):
    """Feeds what is given to a SavedModel and keeps the answers."""
    import tensorflow as tf

    if "keras_regionvit" in sys.modules:
        raise RuntimeError("the package is not needed to serve")
    signatures = tf.saved_model.load(folder).signatures
    with np.load(given) as file:
        lengths, joined = file["lengths"], file["photos"].tobytes()
    ends = np.cumsum(lengths)
    photos = [joined[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    answer = signatures["serving_default"](image_bytes=tf.constant(strings(photos)))
    np.savez(result, **{k: np.asarray(v.numpy().astype("U" if k == "labels" else v.numpy().dtype))
                        for k, v in answer.items()})  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
