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
