"""The exported model in other runtimes gives Keras' numbers."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.runtimes import RUNTIMES, compared
from keras_regionvit.export.saved_model import export_saved_model
from keras_regionvit.images.preprocessing import evaluation_image
from tests.support import served_model
from tests.support.photos import KINDS
from tests.support.served_model import SIZE

NEEDS = {
    "OpenVINO": ["openvino"],
    "ONNX Runtime": ["tf2onnx", "onnxruntime"],
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder, images, and what Keras makes of them."""
    model = served_model.build()
    folder = tmp_path_factory.mktemp("model") / "1"
    export_saved_model(model, folder)
    photos = [KINDS[k] for k in ("jpeg", "png, alpha", "gif", "bmp, palette", "jpeg, cmyk")]
    images = np.stack([evaluation_image(tf.constant(data), SIZE) for data in photos])
    return folder, images, model.predict(images, verbose=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the other libraries
@pytest.mark.parametrize("name", RUNTIMES)
def test_other_runtimes_agree(name, exported):
    for package in NEEDS.get(name, []):
        pytest.importorskip(package)
    folder, images, expected = exported
    try:
        run = RUNTIMES[name](folder, images.shape)
    except ImportError as error:
        pytest.skip(str(error))
    assert np.ptp(expected, axis=0).max() > 0.05
    np.testing.assert_allclose(run(images), expected, atol=1e-4)


def test_runtimes_take_turns():
    calls = []

    def made(name, difference):
        def run(images):
            calls.append(name)
            return images + difference

        return run

    images = np.zeros((4, 1), "float32")
    found = compared({"a": made("a", 0), "b": made("b", -0.5)}, images, images, rounds=2)
    assert calls == ["a", "b"] * 3
    assert found["a"][0] > 0 and (found["a"][1], found["b"][1]) == (0, 0.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_openvino_knows_every_norm(exported):
    openvino = pytest.importorskip("openvino")
    folder, images, _ = exported
    net = openvino.Core().read_model(folder)
    net.reshape(images.shape)
    compiled = openvino.Core().compile_model(net, "CPU")
    kinds = [op.get_rt_info()["layerType"] for op in compiled.get_runtime_model().get_ops()]
    kinds = [str(getattr(kind, "value", kind)) for kind in kinds]
    assert "MVN" in kinds and "ReduceMean" not in kinds, sorted(set(kinds))
