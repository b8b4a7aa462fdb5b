"""Shifted-window attention, the encoders and stages of Swin (Liu et al., 2021; paper, Table 14).

B batch, H W size of the local map, C channels, M window size, R windows.
"""

import keras
import numpy as np
from keras import ops

from keras_regionvit.ablations.local import LocalEncoder, LocalStage
from keras_regionvit.checks.kinds import whole_number
from keras_regionvit.ops.shapes import is_static
from keras_regionvit.ops.windows import merge, pad, partition


def shift_mask(grid, window_size, shift):
    """Which tokens of a shifted window were neighbours before the shift.

    Args:
        grid: pair of ints or integer scalar tensors, windows along each axis.
        window_size: int, M.
        shift: int or integer scalar tensor, tokens by which the map was rolled up and left.

    Returns:
        A bool tensor (R, M * M, M * M), True = attend; a NumPy array for static sizes, and `None`
        where nothing is shifted.
    """
    static = is_static(*grid, shift)
    if static and not shift:
        return None
    xp = np if static else ops

    def origin(windows):
        """1 for the tokens that came around the edge, along one axis."""
        length = windows * window_size
        around = xp.arange(length) >= length - shift
        return xp.reshape(around, (windows, window_size))

    rows, columns = (origin(windows) for windows in grid)
    origins = 2 * xp.where(rows, 1, 0)[:, None, :, None] + xp.where(columns, 1, 0)[None, :, None]
    origins = xp.reshape(origins, (-1, window_size * window_size))  # (Hr, Wr, M, M) -> (R, M*M)
    return origins[:, :, None] == origins[:, None, :]


@keras.saving.register_keras_serializable(package="keras_regionvit")
class ShiftedWindowEncoder(LocalEncoder):
    """Attention inside of windows that may be shifted, then feed-forward: a block of Swin.

    As there, the normed map is padded to whole windows with zeros that do take part, a map with a
    side that fits into one window is not shifted, and stochastic depth acts per image. Where both
    sides are smaller than a window, Swin makes the window smaller; here the map is padded.

    Args:
        shift: int, tokens by which the windows are shifted down and right.
        **kwargs: the arguments of `LocalEncoder`.

    Input and output shape: (B, H, W, C), float.

    Example:

    >>> encoder = ShiftedWindowEncoder(96, num_heads=3, window_size=7, shift=3)
    >>> encoder(keras.ops.ones((2, 56, 50, 96))).shape
    (2, 56, 50, 96)
    """

    epsilon = 1e-5
    drop_axes = 1

    def __init__(self, *args, shift=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.shift = whole_number("shift", shift, self.window_size - 1)

    def attend(self, inputs, mask, training):
        """The attention of a normed map (B, H, W, C); `mask` is not used."""
        height, width = size = ops.shape(inputs)[1:3]
        window = self.window_size
        grid = tuple((s + window - 1) // window for s in size)
        shift = self.shift
        if is_static(height, width):
            shift = 0 if min(height, width) <= window else shift
        elif shift:
            one = ops.logical_or(height <= window, width <= window)
            shift = ops.where(one, 0, shift)
        x = pad(inputs, 0, grid[0] * window - height, 0, grid[1] * window - width)
        x = partition(_roll(x, -shift), grid, window)
        mask = shift_mask(grid, window, shift)
        x = self.attention(x, local=True, attention_mask=mask, training=training)
        return _roll(merge(x, grid, window), shift)[:, :height, :width]

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "shift": self.shift}


def _roll(maps, shift):
    """`maps` (B, H, W, C) rolled down and right."""
    if is_static(shift) and not shift:
        return maps
    return ops.roll(maps, (shift, shift), axis=(1, 2))


@keras.saving.register_keras_serializable(package="keras_regionvit")
class ShiftedWindowStage(LocalStage):
    """A stage of Swin: every second encoder has its windows shifted by half of one.

    Args:
        **kwargs: the arguments of `LocalStage`.

    Input and output: `(local_tokens,)`, of the shape (B, H, W, C).

    Example:

    >>> stage = ShiftedWindowStage(96, 3, 7, drop_path_rates=(0.0, 0.1))
    >>> (local_tokens,) = stage((keras.ops.ones((2, 56, 56, 96)),))
    """

    def new_encoder(self, place, embed_dim, num_heads, window_size, *args, **kwargs):
        """A `ShiftedWindowEncoder`."""
        return ShiftedWindowEncoder(
            embed_dim,
            num_heads,
            window_size,
            *args,
            relative_position=self.relative_position,
            shift=0 if place % 2 else window_size // 2,  # places count from 1
            **kwargs,
        )

    def call(self, inputs, training=False):
        """Maps `(local_tokens,)` to the same shape."""
        (local,) = inputs
        for i, encoder in enumerate(self.encoders):
            local = self.run(encoder, (local,), None, training)
            if i == 0 and self.peg is not None:
                local = self.peg(local)
        return (local,)
