import gzip
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no banner of the CPU's features

import keras
import pytest

GOLDEN = pathlib.Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden():
    """Folder of reference numbers."""
    return GOLDEN


@pytest.fixture(scope="session")
def manifests():
    """{model: {official key: shape}} of the official release."""
    return json.loads(gzip.decompress((GOLDEN / "manifests.json.gz").read_bytes()))


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
