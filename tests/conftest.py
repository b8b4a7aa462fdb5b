import collections
import gzip
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no banner of the CPU's features

import keras
import pytest

GOLDEN = pathlib.Path(__file__).parent / "golden"


def pytest_configure(config):
    """Lets `pytest -n 2 --dist loadfile` take the files in the order given below."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Files with slow tests go first, so that no process waits for them at the end."""
    slow = collections.Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])  # a stable sort: else the order stays


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


@pytest.fixture
def kept():
    """Elements of the large tensors that a function's backward pass takes from its forward one."""
    import tensorflow as tf

    def count(function, shape):
        forward: set[str] = set()

        def both(x):
            y = function(x)
            forward.update(operation.name for operation in y.graph.get_operations())
            return tf.gradients(y, [x], grad_ys=[tf.ones(y.shape)])

        traced = tf.function(both, autograph=False).get_concrete_function(tf.TensorSpec(shape))
        taken = {
            tensor.name: tensor.shape.num_elements()
            for operation in traced.graph.get_operations()
            if operation.name not in forward
            for tensor in operation.inputs
            if tensor.op.name in forward and tensor.op.type != "IdentityN"  # which copies nothing
        }
        least = tf.TensorShape(shape).num_elements()
        return sum(size for size in taken.values() if size >= least)

    return count
