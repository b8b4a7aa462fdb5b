"""3x3 depthwise convolution, lean where XLA compiles it.

B batch, H W size of the map, h w size of the result, C channels, K outputs a channel, s stride.
"""

import keras
from keras import ops

from keras_regionvit.ops.gradients import with_gradient
from keras_regionvit.ops.xla import compiled_by_xla


def depthwise(maps, kernel, stride=1):
    """`plain_depthwise`, under XLA written out as `nine_products`.

    On a CPU XLA's own took 46.6 ms for the first downsampling of RegionViT-S where the products
    take 2.8, and 14 to 17 s a layer for the gradient of one with a stride. In graph mode it is the
    other way round: 91 ms for the gradient of the products, 13 for TensorFlow's own.

    Args:
        maps: float tensor (B, H, W, C).
        kernel: tensor (3, 3, C, K) of the dtype of `maps`: K output channels for each of the C.
            No variable: TensorFlow's custom gradients take tensors alone.
        stride: 1 or 2.

    Returns:
        A tensor (B, ceil(H / s), ceil(W / s), C * K) of the dtype of `maps`; channel `c * K + k`
        is made from channel `c`.
    """
    form = nine_products if compiled_by_xla(maps) else plain_depthwise
    return form(maps, kernel, stride)


def plain_depthwise(maps, kernel, stride=1):
    """The convolution with one row and column of zeros on each side; as `depthwise`."""
    padded = ops.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)])
    return ops.depthwise_conv(padded, kernel, strides=stride, padding="valid")


def nine_products(maps, kernel, stride=1):
    """The convolution as a sum over the nine taps of the kernel; as `depthwise`."""
    convolve = with_gradient(
        lambda maps, kernel: _sum_of_products(maps, kernel, stride),
        lambda maps, kernel, upstream: _gradients(maps, kernel, stride, upstream),
    )
    return convolve(maps, kernel)


def _sum_of_products(maps, kernel, stride):
    wide = keras.backend.result_type(maps.dtype, "float32")  # as convolutions add up
    outputs = sum(
        ops.expand_dims(ops.cast(tap, wide), -1) * ops.cast(kernel[u, v], wide)
        for u, v, tap in _taps(maps, stride)
    )  # (B, h, w, C, K)
    batch, height, width, channels = ops.shape(maps)
    size = _divided(height, stride), _divided(width, stride)
    # (B, h, w, C, K) -> (B, h, w, C * K)
    shape = (batch, *size, channels * kernel.shape[-1])
    return ops.reshape(ops.cast(outputs, maps.dtype), shape)


def _gradients(maps, kernel, stride, upstream):
    """The gradients of the maps and of the kernel."""
    batch, height, width, channels = ops.shape(maps)
    h, w, more = _divided(height, stride), _divided(width, stride), 2 // stride
    wide = keras.backend.result_type(maps.dtype, "float32")
    # (B, h, w, C * K) -> (B, h, w, C, K)
    upstream = ops.reshape(upstream, (batch, h, w, channels, kernel.shape[-1]))
    phases = [[0.0] * stride for _ in range(stride)]  # gradients of the phases of the padded map
    by_tap = []
    for u, v, tap in _taps(maps, stride):
        product = ops.cast(ops.expand_dims(tap, -1), wide) * ops.cast(upstream, wide)
        # (B, h, w, C, K) -> (B * h * w, C * K): of two axes XLA adds up rows fastest
        product = ops.reshape(product, (-1, channels * kernel.shape[-1]))
        by_tap.append(ops.cast(ops.sum(product, axis=0), kernel.dtype))
        share = ops.sum(upstream * kernel[u, v], axis=-1)  # (B, h, w, C)
        top, left = u // stride, v // stride
        around = [(0, 0), (top, more - top), (left, more - left), (0, 0)]
        phase = phases[u % stride]
        phase[v % stride] = phase[v % stride] + ops.pad(share, around)
    # s x s of (B, h + 2 / s, w + 2 / s, C) -> padded map -> map
    x = ops.stack([ops.stack(row, axis=3) for row in phases], axis=2)
    x = ops.reshape(x, (batch, stride * (h + more), stride * (w + more), channels))
    kernel_gradient = ops.reshape(ops.stack(by_tap), ops.shape(kernel))
    return x[:, 1 : 1 + height, 1 : 1 + width], kernel_gradient


def _taps(maps, stride):
    """Yields `(u, v, what tap (u, v) of the kernel is multiplied with)`, the last (B, h, w, C).

    Tap (u, v) meets row s i + u = s (i + u // s) + u % s of the padded map: row i + u // s of the
    phase u % s. Cut into its phases, the map has no stride left.
    """
    batch, height, width, channels = ops.shape(maps)
    h, w = _divided(height, stride), _divided(width, stride)
    more = 2 // stride  # rows that a phase has beside those of the result
    rows = stride * (h + more) - (height + 1)
    columns = stride * (w + more) - (width + 1)
    phases = ops.pad(maps, [(0, 0), (1, rows), (1, columns), (0, 0)])
    # -> (B, h + 2 / s, s, w + 2 / s, s, C)
    phases = ops.reshape(phases, (batch, h + more, stride, w + more, stride, channels))
    for u in range(3):
        for v in range(3):
            top, left = u // stride, v // stride
            yield u, v, phases[:, top : top + h, u % stride, left : left + w, v % stride]


def _divided(size, stride):
    """Rows or columns of the result: `size / stride`, rounded up."""
    return (size + stride - 1) // stride
