"""Small models for the tests of saving; run as a script, loads what a folder holds.

python tests/support/saved_models.py FOLDER: for every NAME.keras and NAME.weights.h5 in FOLDER
writes the outputs of the loaded model on images(NAME) to FOLDER/NAME.{keras,h5}.npz.
"""

import pathlib
import sys

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
import keras_regionvit


def _backbone(shape):
    return keras_regionvit.RegionViTBackbone(
        (16, 32), (1, 2), window_size=3, peg=True, pyramid_norm=True, input_shape=shape
    )


FIXED, ANY = (24, 36, 3), (None, None, 3)
BUILDERS = {
    "classifier_fixed": lambda: keras_regionvit.build_classifier(_backbone(FIXED), classes=5),
    "classifier_any": lambda: keras_regionvit.build_classifier(_backbone(ANY), classes=5),
    "backbone_fixed": lambda: _backbone(FIXED),
    "backbone_any": lambda: _backbone(ANY),
}


def images(name):
    """Two images; of an odd size where the model takes any."""
    shape = (2, 29, 31, 3) if name.endswith("any") else (2, *FIXED)
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def perturb(model):
    """Gives every weight a value that no initializer gives, norms and biases too."""
    rng = np.random.default_rng(1)
    for variable in model.weights:
        noise = 0.1 * rng.standard_normal(variable.shape)
        variable.assign(keras.ops.convert_to_numpy(variable) + noise)


def outputs(name, model):
    """{output name: array}."""
    found = model.predict(images(name), verbose=0)
    return found if isinstance(found, dict) else {"probabilities": found}


def main(folder):
    """Loads and runs every model of the folder."""
    for path in pathlib.Path(folder).iterdir():
        name = path.name.partition(".")[0]
        if path.suffix == ".keras":
            np.savez(
                path.with_name(f"{path.name}.npz"), **outputs(name, keras.models.load_model(path))
            )
        elif path.suffix == ".h5":
            model = BUILDERS[name]()
            model.load_weights(path)
            np.savez(path.with_name(f"{path.name}.npz"), **outputs(name, model))


if __name__ == "__main__":
    main(sys.argv[1])
