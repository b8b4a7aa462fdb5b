"""3x3 depthwise convolution, lean where XLA compiles it.

B batch, H W size of the map, h w size of the outcome, C channels, K outputs a channel, s stride.
"""

import keras
from keras import ops

from keras_regionvit.ops.xla import compiled_by_xla


def depthwise(maps, kernel, stride=1):
    """3x3 depthwise convolution with one row and column of zeros on each side.

    On a CPU XLA takes ten to forty times as long as TensorFlow for it, and seconds for the
    gradient of one with a stride: under XLA it is written out as nine products of whole maps.

    Args:
        maps: (B, H, W, C).
        kernel: (3, 3, C, K), K output channels for each of the C.
        stride: 1 or 2.

    Returns:
        (B, ceil(H / s), ceil(W / s), C * K), channel `c * K + k` made from channel `c`.
    """
    if compiled_by_xla(maps):
        return nine_products(stride)(maps, kernel)
    padded = ops.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)])
    return ops.depthwise_conv(padded, kernel, strides=stride, padding="valid")


def nine_products(stride):
    """The convolution of `(maps, kernel)` as a sum over the nine taps of the kernel."""
    more = 2 // stride  # rows that a phase has beside those of the outcome

    @ops.custom_gradient
    def convolve(maps, kernel):
        batch, height, width, channels = ops.shape(maps)
        multiplier = kernel.shape[-1]
        h, w = (height + stride - 1) // stride, (width + stride - 1) // stride

        def taps():
            # Tap (u, v) meets row s i + u = s (i + u // s) + u % s of the padded map: row
            # i + u // s of the phase u % s. Cut into its phases, the map has no stride left.
            rows = stride * (h + more) - (height + 1)
            columns = stride * (w + more) - (width + 1)
            phases = ops.pad(maps, [(0, 0), (1, rows), (1, columns), (0, 0)])
            # -> (B, h + 2 / s, s, w + 2 / s, s, C)
            phases = ops.reshape(phases, (batch, h + more, stride, w + more, stride, channels))
            for u in range(3):
                for v in range(3):
                    top, left = u // stride, v // stride
                    # (B, h, w, C)
                    tap = phases[:, top : top + h, u % stride, left : left + w, v % stride]
                    yield u, v, tap

        wide = keras.backend.result_type(maps.dtype, "float32")  # as convolutions add up
        outputs = sum(
            ops.expand_dims(ops.cast(tap, wide), -1) * ops.cast(kernel[u, v], wide)
            for u, v, tap in taps()
        )  # (B, h, w, C, K)
        # (B, h, w, C, K) -> (B, h, w, C * K)
        outputs = ops.reshape(ops.cast(outputs, maps.dtype), (batch, h, w, channels * multiplier))

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            # (B, h, w, C * K) -> (B, h, w, C, K)
            upstream = ops.reshape(upstream, (batch, h, w, channels, multiplier))
            map_gradient = [[0.0] * stride for _ in range(stride)]
            kernel_gradient = []
            for u, v, tap in taps():
                product = ops.cast(ops.expand_dims(tap, -1), wide) * ops.cast(upstream, wide)
                # (B, h, w, C, K) -> (B * h * w, C * K): of two axes XLA adds up rows fastest
                product = ops.reshape(product, (-1, channels * multiplier))
                kernel_gradient.append(ops.cast(ops.sum(product, axis=0), kernel.dtype))
                share = ops.sum(upstream * kernel[u, v], axis=-1)  # (B, h, w, C)
                top, left = u // stride, v // stride
                around = [(0, 0), (top, more - top), (left, more - left), (0, 0)]
                phase = map_gradient[u % stride]
                phase[v % stride] = phase[v % stride] + ops.pad(share, around)
            # (B, h + 2 / s, w + 2 / s, C) x s x s -> padded map -> map
            x = ops.stack([ops.stack(row, axis=3) for row in map_gradient], axis=2)
            x = ops.reshape(x, (batch, stride * (h + more), stride * (w + more), channels))
            kernel_gradient = ops.reshape(ops.stack(kernel_gradient), ops.shape(kernel))
            return x[:, 1 : 1 + height, 1 : 1 + width], kernel_gradient

        return outputs, gradient

    return convolve
