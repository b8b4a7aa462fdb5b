"""Multiply-adds of a model, counted on the graph that TensorFlow traces for one image.

Counted are matrix products and convolutions, as papers do that print "FLOPs" or "MACs";
norms, softmax, activations and sums are not. Zeros that a convolution pads with count as values,
and a dilated convolution counts as TensorFlow traces it, on interleaved maps padded to fit.
"""

import math
import re

import keras
import tensorflow as tf


def count_macs(model, input_shape=None):
    """Multiply-adds of one image through a model at inference.

    Every product and convolution that is traced counts, read by somebody or not.

    Args:
        model: a `keras.Model` of one input.
        input_shape: the shape of one image without the batch axis, `(height, width, channels)`;
            `None` means the model's own, which a subclass of `keras.Model` need not have.

    Returns:
        The number of multiply-adds, an int.

    Raises:
        ValueError: the backend is not TensorFlow; the shape is open; or the graph holds a
            node that cannot be counted, because its shapes are unknown, because it runs an
            unknown number of times, or because this file knows no rule for it.

    Example:

    >>> count_macs(keras_regionvit.RegionViTTiny(weights=None))
    2414885888
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`count_macs` needs the Keras backend 'tensorflow'. "
            f"Received: {keras.backend.backend()!r}"
        )
    symbols = getattr(model, "inputs", None) or []
    own_shape = symbols[0].shape[1:] if len(symbols) == 1 else None
    shape = own_shape if input_shape is None else tuple(input_shape)
    if shape is None or not all(isinstance(size, int) for size in shape):
        raise ValueError(
            "`input_shape` must be the integer sizes of one image, such as (224, 224, 3). "
            f"Received: input_shape={input_shape} for a model of {len(symbols)} inputs of "
            f"shapes {[x.shape for x in symbols]}"
        )
    image = tf.TensorSpec((1, *shape), symbols[0].dtype if symbols else keras.config.floatx())
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(image).graph
    return _graph_macs(graph)


# --- one node: (input shapes, output shape, node) -> multiply-adds -------------------------


def _matmul(inputs, output, op):
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    return math.prod(output) * inputs[0][-2 if transposed else -1]


def _einsum(inputs, output, op):
    if len(inputs) == 1:  # a transpose or a sum
        return 0
    operands = op.get_attr("equation").decode().split("->")[0].split(",")
    sizes: dict[str, int] = {}
    leading: list[int] = []  # what "..." stands for
    for labels, shape in zip(operands, inputs, strict=True):
        before, dots, after = labels.partition("...")
        first, last = len(before), len(shape) - len(after)
        sizes |= dict(zip(before + after, shape[:first] + shape[last:], strict=True))
        if dots:
            leading = tf.broadcast_static_shape(
                tf.TensorShape(leading), tf.TensorShape(shape[first:last])
            ).as_list()
    return math.prod(sizes.values()) * math.prod(leading)


def _convolution(inputs, output, op):
    return math.prod(output) * math.prod(inputs[1][:-1])  # kernel (..., input, output channels)


def _transposed_convolution(inputs, output, op):
    return math.prod(inputs[2]) * math.prod(inputs[1][:-1])  # kernel (..., output, input channels)


def _depthwise_convolution(inputs, output, op):
    return math.prod(output) * math.prod(inputs[1][:2])  # kernel (kh, kw, C, K)


_RULES = {
    "MatMul": _matmul,
    "BatchMatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "BatchMatMulV3": _matmul,
    "Einsum": _einsum,
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "Conv2DBackpropInput": _transposed_convolution,
    "Conv3DBackpropInputV2": _transposed_convolution,
    "DepthwiseConv2dNative": _depthwise_convolution,
}

# Nodes that multiply matrices, or run code that may, and have no rule: never skipped.
_UNKNOWN = re.compile(
    r"Conv(?!ert)|MatMul|Matmul|Einsum|Dot|Attention|RNN|LSTM|GRU|CallModule|PyFunc"
)

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def _needs_rule(kind):
    return kind in _RULES or _UNKNOWN.search(kind)


# --- the graph -----------------------------------------------------------------------------


def _graph_macs(graph):
    """Multiply-adds of a graph's nodes and of the functions that they call."""
    total = 0
    for op in graph.get_operations():
        called = [name for value in op.node_def.attr.values() for name in _functions(value)]
        if op.type in _RULES:
            inputs = [_static_shape(x, op) for x in op.inputs]
            total += _RULES[op.type](inputs, _static_shape(op.outputs[0], op), op)
        elif _needs_rule(op.type):
            raise ValueError(f"There is no rule to count node '{op.name}' of type {op.type}.")
        elif op.type in _CALLS:
            total += _graph_macs(_body(called[0], graph))
        else:  # a loop or a branch: how often its functions run is unknown
            for kind in _reached(called, graph):
                if _needs_rule(kind):
                    raise ValueError(
                        f"Node '{op.name}' of type {op.type} holds a node of type {kind}, which "
                        "cannot be counted because it runs an unknown number of times."
                    )
    return total


def _static_shape(tensor, op):
    if not tensor.shape.is_fully_defined():
        raise ValueError(
            f"Node '{op.name}' of type {op.type} cannot be counted: its tensor '{tensor.name}' "
            f"must have a static shape. Received: {tensor.shape}"
        )
    return tuple(tensor.shape.as_list())


def _functions(value):
    """Names of the functions in an attribute of a node."""
    return [f.name for f in (value.func, *value.list.func) if f.name]


def _body(name, graph):
    """The graph of a function that `graph` calls, with the shapes it was traced for."""
    return graph._get_function(name).graph  # TensorFlow has no public way to it


def _reached(names, graph):
    """The types of all nodes in functions and in those that they call."""
    for name in names:
        body = _body(name, graph)
        for op in body.get_operations():
            yield op.type
            nested = [f for value in op.node_def.attr.values() for f in _functions(value)]
            yield from _reached(nested, body)
