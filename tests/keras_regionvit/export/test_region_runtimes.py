"""Mask R-CNN and Keypoint R-CNN as SavedModels and in other runtimes: the same detections."""

import numpy as np
import pytest

from tests.support.region_detectors import KINDS, noise, region_detector
from tests.support.runtimes import RUNTIMES

BATCHES = ((1, 64, 96), (4, 96, 64))  # images, rows, columns


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory):
    """The folder, and images with what Keras makes of them."""
    kind = request.param
    model = region_detector(kind, **({"paste_masks": True} if kind == "masks" else {}))
    folder = str(tmp_path_factory.mktemp("model") / "1")
    model.export(folder, verbose=False)
    batches = [noise(*batch) for batch in BATCHES]
    expected = [model.predict(images, verbose=0) for images in batches]
    found = np.concatenate([of_batch["count"] for of_batch in expected])
    assert found[2] == 0 and np.all(np.delete(found, 2) > 5)  # one image without any
    for of_batch in expected:
        assert np.ptp(of_batch["scores"][0]) > 0.1 and np.any(of_batch[kind][0])
    return folder, list(zip(batches, expected, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the other libraries
@pytest.mark.parametrize("name", RUNTIMES)
def test_other_runtimes_agree(name, exported):
    folder, batches = exported
    run = RUNTIMES[name](folder)
    for images, expected in batches:
        found = run(images)
        assert set(found) == set(expected)
        for key, value in expected.items():
            assert found[key].shape == value.shape
            if value.dtype.kind == "f":
                np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-4, err_msg=key)
            else:
                np.testing.assert_array_equal(found[key], value, err_msg=key)
