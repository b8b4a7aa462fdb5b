"""LayerNorm against Keras' own layer, forward and backward."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.layers.norm import LayerNorm


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_training_is_keras_own(dtype):
    x = tf.constant(np.random.default_rng(0).normal(3, 2, (2, 3, 5, 7)), tf.float32)
    towards = tf.constant(np.random.default_rng(1).normal(size=x.shape), tf.float32)
    results = []
    for layer in (LayerNorm, keras.layers.LayerNormalization):
        norm = layer(epsilon=1e-2, dtype=dtype)
        norm.build(x.shape)
        norm.set_weights([np.linspace(0.5, 2, 7), np.linspace(-1, 1, 7)])
        arguments = {"training": True} if layer is LayerNorm else {}
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = norm(x, **arguments)
            value = tf.reduce_sum(tf.cast(y, tf.float32) * towards)
        gradients = tape.gradient(value, [x, *(w.value for w in norm.trainable_variables)])
        results.append([y, *gradients])
    tolerance = 2e-6 if dtype == "float32" else 5e-2
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(
            tf.cast(ours, tf.float32), tf.cast(theirs, tf.float32), rtol=tolerance, atol=tolerance
        )


def test_the_input_is_all_that_the_backward_pass_keeps():
    def kept(layer, **arguments):
        """Elements of the large tensors that the backward pass takes from the forward pass."""
        norm = layer()
        norm.build((2, 30, 64))

        def both(x):
            y = norm(x, **arguments)
            forward.update(operation.name for operation in y.graph.get_operations())
            return tf.gradients(y, [x], grad_ys=[tf.ones(x.shape)])

        forward: set[str] = set()
        x = tf.TensorSpec((2, 30, 64))
        graph = tf.function(both, autograph=False).get_concrete_function(x).graph
        taken = {
            tensor.name: tensor.shape.num_elements()
            for operation in graph.get_operations()
            if operation.name not in forward
            for tensor in operation.inputs
            if tensor.op.name in forward and tensor.op.type != "IdentityN"  # which copies nothing
        }
        return sum(size for size in taken.values() if size >= x.shape.num_elements())

    assert kept(LayerNorm, training=True) == 2 * 30 * 64  # the input
    assert kept(keras.layers.LayerNormalization) > 2 * 30 * 64
