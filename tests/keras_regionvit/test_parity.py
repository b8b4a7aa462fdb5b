"""Equal to the official release: logits, embeddings, pyramids (reference arrays in golden/)."""

import keras
import numpy as np
import pytest

from keras_regionvit import RegionViTBackbone, build_classifier, load_official_weights
from tests.support import synthetic

TOLERANCE = 5e-6
REFERENCES = {
    # name: (variant, height, width, seed); the last four have padded regions somewhere
    "tiny_224x224": ("tiny", 224, 224, 0),
    "small_224x224": ("small", 224, 224, 0),
    "tiny_448x224": ("tiny", 448, 224, 1),
    "tiny_256x320": ("tiny", 256, 320, 11),
    "tiny_w14_peg_256x320": ("tiny_w14_peg", 256, 320, 30),
    "medium_224x252": ("medium", 224, 252, 31),
}


def distance(found, expected):
    found = np.asarray(keras.ops.convert_to_numpy(found), "float64")
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def run(model, images, eager):
    """Outputs, traced or op by op; JAX would compile each op by itself: it always traces."""
    if eager and keras.backend.backend() != "jax":
        return model(images)
    return model.predict(images, verbose=0)


def backbone(variant, **arguments):
    name, peg = variant.removesuffix("_peg"), variant.endswith("_peg")
    return RegionViTBackbone.from_variant(name, peg=peg, **arguments)


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
@pytest.mark.parametrize("reference", REFERENCES)
def test_classifier(reference, static, golden, manifests):
    variant, height, width, seed = REFERENCES[reference]
    shape = (height, width, 3) if static else (None, None, 3)
    model = build_classifier(backbone(variant, input_shape=shape), classifier_activation=None)
    assert load_official_weights(model, synthetic.state_dict(manifests[variant])) == []
    both = keras.Model(model.input, [model.get_layer("avg_pool").output, model.output])
    embedding, logits = run(both, synthetic.image(height, width, seed), eager=static)
    expected = np.load(golden / f"{reference}.npz")
    assert distance(logits, expected["logits"]) < TOLERANCE
    assert distance(embedding, expected["embedding"]) < TOLERANCE


@pytest.mark.parametrize("reference", REFERENCES)
def test_pyramid(reference, golden, manifests):
    variant, height, width, seed = REFERENCES[reference]
    static = reference == "tiny_256x320"
    shape = (height, width, 3) if static else (None, None, 3)
    model = backbone(variant, input_shape=shape, pyramid_norm=True)
    weights = synthetic.state_dict(manifests[f"{variant}_detection"])
    assert load_official_weights(model, weights) == []
    pyramid = keras.Model(model.input, model.pyramid_outputs)
    levels = run(pyramid, synthetic.image(height, width, seed), eager=True)
    expected = np.load(golden / f"{reference}.npz")
    assert list(levels) == ["P2", "P3", "P4", "P5"]
    for level, found in levels.items():
        assert tuple(found.shape) == tuple(expected[f"{level}_shape"])
        assert distance(found[:, ::5, ::5, ::7], expected[level]) < TOLERANCE
