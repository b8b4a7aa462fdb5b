"""Detectors and segmenters as SavedModels and in other runtimes: the same boxes and masks.

On a backbone of convolutions, which converts in less time; `test_runtimes` has RegionViT.
"""

import keras
import numpy as np
import pytest

from keras_regionvit import RetinaNet, SemanticFPN
from tests.support.pyramids import conv_backbone
from tests.support.runtimes import RUNTIMES

BATCHES = ((1, 64, 96), (4, 96, 64), (1, 70, 50))  # images, rows, columns


def detector():
    """A detector whose scores are spread out: where they are all alike, so is any order."""
    keras.utils.set_random_seed(0)
    model = RetinaNet(conv_backbone(), 5, width=16)
    network = keras.Model(model.input, model.raw_outputs)
    for name, spread in (("class_logits", 1.5), ("box_deltas", 0.3)):
        for tower in (name.split("_")[0], name):
            for i in range(4) if tower != name else (0,):
                layer = model.get_layer(tower if tower == name else f"{tower}_tower{i}")
                layer.kernel.assign(keras.random.normal(layer.kernel.shape, stddev=0.1))
        raw = network(images(1, 64, 96))
        layer = model.get_layer(name)
        layer.kernel.assign(layer.kernel * spread / np.std(raw[f"p3_{name.split('_')[1]}"]))
    model.get_layer("class_logits").bias.assign(np.full(45, -1.0))
    return model


def segmenter():
    keras.utils.set_random_seed(0)
    model = SemanticFPN(conv_backbone(), 4, width=16, head_width=8)
    layer = model.get_layer("logits")
    layer.kernel.assign(keras.random.normal(layer.kernel.shape, stddev=0.1))
    return model


def images(count, rows, columns):
    return np.random.default_rng(rows).normal(size=(count, rows, columns, 3)).astype("float32")


@pytest.fixture(scope="module", params=[detector, segmenter], ids=["detector", "segmenter"])
def exported(request, tmp_path_factory):
    model = request.param()
    folder = str(tmp_path_factory.mktemp("model") / "1")
    model.export(folder, verbose=False)
    return model, folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the other libraries
@pytest.mark.parametrize("name", ["SavedModel", "OpenVINO", "ONNX Runtime"])
def test_other_runtimes_agree(name, exported):
    model, folder = exported
    run = RUNTIMES[name](folder)
    for batch in BATCHES:
        x = images(*batch)
        expected = model.predict(x, verbose=0)
        found = run(x)
        if not isinstance(expected, dict):
            (value,) = found.values()
            np.testing.assert_allclose(value, expected, atol=1e-4)
            continue
        assert set(found) == set(expected)
        np.testing.assert_array_equal(found["count"], expected["count"])
        assert (expected["count"] > 5).all() and np.ptp(expected["scores"][0]) > 0.1
        for key in ("boxes", "scores", "classes"):
            np.testing.assert_allclose(found[key], expected[key], atol=1e-3, err_msg=key)
