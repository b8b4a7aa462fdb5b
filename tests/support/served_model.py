"""A small classifier and its SavedModel, for the tests of serving.

Run as a script, it answers without Keras: tests/support/served_model.py FOLDER IN.npz OUT.npz
feeds each array of IN to the signature it is named after.
"""

import sys

import numpy as np

SIZE, CLASSES = 24, 7
LABELS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"]


def build():
    """A classifier of 24x24 colour images with weights that no initializer gives."""
    import keras

    import keras_regionvit

    keras.utils.set_random_seed(1)
    backbone = keras_regionvit.RegionViTBackbone(
        (16, 32), (1, 2), window_size=3, peg=True, input_shape=(SIZE, SIZE, 3)
    )
    model = keras_regionvit.build_classifier(backbone, classes=CLASSES, name="served")
    rng = np.random.default_rng(1)
    for variable in model.weights:
        value = keras.ops.convert_to_numpy(variable)
        variable.assign(value + 0.3 * rng.standard_normal(variable.shape))
    return model


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
        lengths, joined = file["lengths"], file["pictures"].tobytes()
    ends = np.cumsum(lengths)
    pictures = [joined[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    answer = signatures["serving_default"](image_bytes=tf.constant(strings(pictures)))
    np.savez(result, **{k: np.asarray(v.numpy().astype("U" if k == "labels" else v.numpy().dtype))
                        for k, v in answer.items()})  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
