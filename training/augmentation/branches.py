"""Branches of a graph that cost nothing unless taken.

`tf.cond` and `tf.switch_case` put the operations of all branches into the graph around them, where
those of the branches not taken are passed over one by one; with fifteen branches this takes longer
than a light one of them. Here a branch stays a function of its own, which is called.
"""

import tensorflow as tf


def one_of(index, branches, *arguments):
    """Calls one of several functions.

    Args:
        index: int32 scalar tensor; the last function is called if it is out of range.
        branches: functions of tensors that all give a tensor of the same dtype and rank. They may
            close over Python values, but not over tensors.
        *arguments: tensors, handed to the function.

    Returns:
        What the function gives.

    Raises:
        ValueError: a function closes over a tensor, or dtypes differ.

    Example:

    >>> one_of(tf.constant(1), [lambda x: x, lambda x: x * 2], tf.constant(21))
    <tf.Tensor: shape=(), dtype=int32, numpy=42>
    """
    tensors = [tf.convert_to_tensor(argument) for argument in arguments]
    if tf.executing_eagerly():
        index = int(index)
        return branches[index if 0 <= index < len(branches) else -1](*tensors)
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
    # what is not rewritten by autograph is traced in a fraction of the time
    traced = [tf.function(branch, autograph=False) for branch in branches]
    functions = [function.get_concrete_function(*specs) for function in traced]
    outputs = [function.structured_outputs for function in functions]
    if any(function.captured_inputs for function in functions):
        raise ValueError("`branches` must not close over tensors: hand those over as `arguments`.")
    if len({output.dtype for output in outputs}) > 1:
        raise ValueError(
            "`branches` must give one dtype. "
            f"Received: {', '.join(output.dtype.name for output in outputs)}"
        )
    shape = outputs[0].shape
    for output in outputs:
        shape = shape.most_specific_compatible_shape(output.shape)
    (result,) = tf.raw_ops.StatelessCase(
        branch_index=index,
        input=tensors,
        Tout=[outputs[0].dtype],
        branches=functions,
        output_shapes=[shape],
    )
    return tf.ensure_shape(result, shape)


def either(condition, function, other, *arguments):
    """`function(*arguments)` where a boolean scalar tensor is true, else `other(*arguments)`.

    >>> either(tf.constant(True), tf.negative, tf.identity, tf.constant(21)).numpy()
    -21
    """
    return one_of(1 - tf.cast(condition, tf.int32), [function, other], *arguments)


def in_cluster():
    """Whether several machines train: then `tf.data` would place functions on the first of them."""
    return any("/job:worker" in device.name for device in tf.config.list_logical_devices())
