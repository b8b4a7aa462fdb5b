"""Bicubic resizing of the weights that depend on the window: bias tables, regional kernels.

M window size, N heads, C channels.
"""

import math

import numpy as np


def resize_table(table, shape):
    """A position bias table for another window.

    Args:
        table: (N, (2M-1)^2), in the plain order of offsets.
        shape: shape of the table wanted, with the same N.

    Returns:
        An array of `shape` and the dtype of `table`.

    Raises:
        ValueError: `table` or `shape` is not that of a table.

    Example:

    >>> resize_table(np.ones((4, 13 * 13), "float32"), (4, 23 * 23)).shape
    (4, 529)
    """
    side, wanted = math.isqrt(table.shape[1]), math.isqrt(shape[1])
    return resize_bicubic(table.reshape(-1, side, side), (wanted, wanted)).reshape(shape)


def resize_kernel(kernel, size):
    """A convolution kernel in Keras' layout for another patch.

    Args:
        kernel: (height, width, channels in, channels out).
        size: `(height, width)` wanted.

    Returns:
        (*size, channels in, channels out) of the dtype of `kernel`.

    Example:

    >>> resize_kernel(np.ones((28, 28, 3, 96), "float32"), (48, 48)).shape
    (48, 48, 3, 96)
    """
    # (kh, kw, in, out) -> (in, out, kh, kw) and back
    return resize_bicubic(kernel.transpose(2, 3, 0, 1), size).transpose(2, 3, 0, 1)


def resize_bicubic(images, size):
    """Resizes the last two axes as PyTorch's bicubic `interpolate` does.

    Args:
        images: (..., H, W).
        size: `(height, width)` wanted.

    Returns:
        (..., height, width) of the dtype of `images`; `images` itself if nothing changes.

    Example:

    >>> resize_bicubic(np.ones((96, 3, 28, 28), "float32"), (48, 48)).shape
    (96, 3, 48, 48)
    """
    if images.shape[-2:] == tuple(size):
        return images
    rows = _cubic_matrix(images.shape[-2], size[0])
    columns = _cubic_matrix(images.shape[-1], size[1])
    return (rows @ images @ columns.T).astype(images.dtype)


def _cubic_matrix(size, wanted):
    """(wanted, size) weights of cubic convolution with a = -0.75, edges repeated.

    PyTorch's `interpolate(mode="bicubic", align_corners=False)` along one axis; TensorFlow's
    has a = -0.5.
    """
    a = -0.75
    # in float32, as PyTorch finds the centres
    scale = np.float32(size) / np.float32(wanted)
    centre = (np.arange(wanted, dtype="float32") + np.float32(0.5)) * scale - np.float32(0.5)
    first = np.floor(centre).astype(int) - 1
    matrix = np.zeros((wanted, size))
    for tap in range(4):
        d = np.abs(centre - (first + tap))
        near = (a + 2) * d**3 - (a + 3) * d**2 + 1
        far = a * (d**3 - 5 * d**2 + 8 * d - 4)
        column = np.clip(first + tap, 0, size - 1)
        np.add.at(matrix, (np.arange(wanted), column), np.where(d <= 1, near, far))
    return matrix
