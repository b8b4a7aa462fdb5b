"""Cutting maps into regions and putting them together; the mask of padded tokens.

B batch, H W size of the local map, C channels, M window size,
Hr Wr size of the regional grid, R = Hr * Wr regions, T = 1 + M * M tokens a region.

All functions take static sizes (ints) or dynamic ones (scalar tensors), so that
the arithmetic belongs in `Layer.call`, never on symbolic Keras tensors.
"""

import numpy as np
from keras import ops

from keras_regionvit.ops.shapes import is_static


def region_padding(height, width, region):
    """Rows and columns to add so that an image divides into regions.

    If one axis does not divide, both are padded, and an axis that already fits
    gains a whole region: so does the official release.

    Args:
        height: int or integer scalar tensor, rows of the image.
        width: likewise, its columns.
        region: int, pixels per region side.

    Returns:
        `(rows, columns)` to add, of the type of the inputs.

    Example:

    >>> region_padding(224, 230, 28)
    (28, 22)
    """
    rows, columns = height % region, width % region
    needed = (rows + columns + 2 * region - 1) // (2 * region)  # 0 if both fit, else 1
    return needed * (region - rows), needed * (region - columns)


def pad(maps, rows_before, rows_after, columns_before, columns_after):
    """Pads maps with zeros, at no cost where the padding is statically none.

    Args:
        maps: tensor (B, H, W, C).
        rows_before: int or integer scalar tensor, rows of zeros above.
        rows_after: likewise, below.
        columns_before: likewise, columns of zeros on the left.
        columns_after: likewise, on the right.

    Returns:
        A tensor (B, rows_before + H + rows_after, columns_before + W + columns_after, C).
    """
    padding = (rows_before, rows_after, columns_before, columns_after)
    if is_static(*padding) and not any(padding):
        return maps
    return ops.pad(maps, [(0, 0), padding[:2], padding[2:], (0, 0)])


def partition(maps, grid, window_size):
    """Cuts a local map into the windows of its regions.

    Args:
        maps: tensor (B, Hr * M, Wr * M, C).
        grid: `(Hr, Wr)`.
        window_size: int, M.

    Returns:
        A tensor (B, R, M * M, C), regions and tokens in row-major order.
    """
    grid_height, grid_width = grid
    channels = maps.shape[-1]
    # (B, Hr*M, Wr*M, C) -> (B, Hr, M, Wr, M*C); M and C stay together: one transpose of rank 5
    x = ops.reshape(maps, (-1, grid_height, window_size, grid_width, window_size * channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4))  # -> (B, Hr, Wr, M, M*C)
    return ops.reshape(x, (-1, grid_height * grid_width, window_size * window_size, channels))


def merge(windows, grid, window_size):
    """The inverse of `partition`.

    Args:
        windows: tensor (B, R, M * M, C).
        grid: `(Hr, Wr)` with Hr * Wr == R.
        window_size: int, M.

    Returns:
        A tensor (B, Hr * M, Wr * M, C).
    """
    grid_height, grid_width = grid
    channels = windows.shape[-1]
    # (B, R, M*M, C) -> (B, Hr, Wr, M, M*C)
    x = ops.reshape(windows, (-1, grid_height, grid_width, window_size, window_size * channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4))  # -> (B, Hr, M, Wr, M*C)
    return ops.reshape(x, (-1, grid_height * window_size, grid_width * window_size, channels))


def cut_padded(maps, size, grid, window_size):
    """`partition` of maps that are padded at the bottom and right to fill the grid.

    Args:
        maps: tensor (B, H, W, C) with H <= Hr * M and W <= Wr * M.
        size: `(H, W)`.
        grid: `(Hr, Wr)`.
        window_size: int, M.

    Returns:
        A tensor (B, R, M * M, C).
    """
    rows, columns = (g * window_size - s for g, s in zip(grid, size, strict=True))
    return partition(pad(maps, 0, rows, 0, columns), grid, window_size)


def join_cropped(windows, size, grid, window_size):
    """The inverse of `cut_padded`: `merge` without the padding.

    Args:
        windows: tensor (B, R, M * M, C).
        size: `(H, W)` of the map before padding.
        grid: `(Hr, Wr)`.
        window_size: int, M.

    Returns:
        A tensor (B, H, W, C).
    """
    return merge(windows, grid, window_size)[:, : size[0], : size[1]]


def padding_mask(size, grid, window_size):
    """Which tokens of a region may attend to which, given that some are padding.

    A pair is kept where both rows and both columns are real; in the bottom-right
    region either suffices, as in the official release. So padded tokens reach real
    ones there and nowhere else. The regional token counts as real.

    Args:
        size: `(H, W)` of the local map before padding.
        grid: `(Hr, Wr)`.
        window_size: int, M.

    Returns:
        A bool tensor (R, T, T), True = attend; a NumPy array for static sizes, and `None`
        where nothing is padded.
    """
    static = is_static(*size, *grid)
    if static and (grid[0] * window_size, grid[1] * window_size) == tuple(size):
        return None
    xp = np if static else ops
    # token (m, n) of a window stands in row m and column n; the regional token before all
    row, column = np.divmod(np.arange(window_size * window_size), window_size)

    def both_real(offset, length, regions):
        first = xp.arange(regions)[:, None] * window_size
        local = first + offset[None] < length  # (regions, M*M)
        real = xp.concatenate([xp.ones_like(local[:, :1]), local], axis=1)  # (regions, T)
        return xp.logical_and(real[:, :, None], real[:, None, :])  # (regions, T, T)

    rows = both_real(row, size[0], grid[0])[:, None]  # (Hr, 1, T, T)
    columns = both_real(column, size[1], grid[1])[None]  # (1, Wr, T, T)
    corner = xp.logical_and(
        (xp.arange(grid[0]) == grid[0] - 1)[:, None, None, None],
        (xp.arange(grid[1]) == grid[1] - 1)[None, :, None, None],
    )
    kept = xp.where(corner, xp.logical_or(rows, columns), xp.logical_and(rows, columns))
    tokens = 1 + window_size * window_size
    return xp.reshape(kept, (-1, tokens, tokens))  # (Hr, Wr, T, T) -> (R, T, T)
