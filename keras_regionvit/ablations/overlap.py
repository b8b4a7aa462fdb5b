"""Overlapping windows: cutting them out and laying them over each other, pure functions.

B batch, C channels, M window size, h tokens beyond it on each side, S = M + 2h,
Hr Wr size of the regional grid, R = Hr * Wr regions.
"""

from keras import ops


def halo(window_size):
    """h, the tokens by which windows reach beyond their region on each side: half of M."""
    return window_size // 2


def cut(maps, grid, window_size):
    """The overlapping windows of a map.

    Args:
        maps: tensor (B, Hr * M, Wr * M, C).
        grid: `(Hr, Wr)`.
        window_size: int, M.

    Returns:
        A tensor (B, R, S * S, C), zeros where a window reaches beyond the map.
    """
    side, channels = window_size + 2 * halo(window_size), maps.shape[-1]
    # (B, Hr*M, Wr*M, C) -> (B, Hr, M, Wr*M*C)
    x = ops.reshape(maps, (-1, grid[0], window_size, grid[1] * window_size * channels))
    x = _reach_out(x, window_size)
    # (B, Hr, S, Wr*M*C) -> (B*Hr*S, Wr, M, C)
    x = ops.reshape(x, (-1, grid[1], window_size, channels))
    x = _reach_out(x, window_size)
    # (B*Hr*S, Wr, S, C) -> (B, Hr, S, Wr, S, C) -> (B, Hr, Wr, S, S, C)
    x = ops.reshape(x, (-1, grid[0], side, grid[1], side, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, grid[0] * grid[1], side * side, channels))


def _reach_out(x, window_size):
    """(B, regions, M, C) to (B, regions, S, C): h tokens of the region before and of the next.

    Slices, not a gather: the gradient of a gather is a scatter, many times slower.
    """
    h = halo(window_size)
    before = ops.pad(x[:, :-1, window_size - h :], [(0, 0), (1, 0), (0, 0), (0, 0)])
    following = ops.pad(x[:, 1:, :h], [(0, 0), (0, 1), (0, 0), (0, 0)])
    return ops.concatenate([before, x, following], axis=2)


def mean_of_copies(windows, grid, window_size):
    """The map in which each token is the mean of its copies in all windows; undoes `cut`.

    Args:
        windows: tensor (B, R, S * S, C).
        grid: `(Hr, Wr)` with Hr * Wr == R.
        window_size: int, M.

    Returns:
        A tensor (B, Hr * M, Wr * M, C).
    """
    copies = ops.ones_like(windows[:1, :, :, :1])
    return _overlay(windows, grid, window_size) / _overlay(copies, grid, window_size)


def _overlay(windows, grid, window_size):
    """The sum of all windows in their places, (B, R, S * S, C) to (B, Hr * M, Wr * M, C)."""
    side, channels = window_size + 2 * halo(window_size), windows.shape[-1]
    # (B, R, S*S, C) -> (B, Hr, Wr, S, S*C) -> (B, Hr, S, Wr*S*C)
    x = ops.reshape(windows, (-1, *grid, side, side * channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    x = ops.reshape(x, (-1, grid[0], side, grid[1] * side * channels))
    x = _overlay_axis(x, window_size)
    # (B, Hr*M, Wr*S*C) -> (B*Hr*M, Wr, S, C)
    x = ops.reshape(x, (-1, grid[1], side, channels))
    x = _overlay_axis(x, window_size)
    return ops.reshape(x, (-1, grid[0] * window_size, grid[1] * window_size, channels))


def _overlay_axis(x, window_size):
    """(B, regions, S, C) to (B, regions, M, C): each region's own part and its neighbours'."""
    h = halo(window_size)
    rest = window_size - h
    own = x[:, :, h : h + window_size]
    # the next region's first h tokens are this one's last, the one before's last h its first
    following = ops.pad(x[:, 1:, :h], [(0, 0), (0, 1), (rest, 0), (0, 0)])
    before = ops.pad(x[:, :-1, h + window_size :], [(0, 0), (1, 0), (0, rest), (0, 0)])
    return own + following + before


def mask_off_map(size, grid, window_size):
    """Which tokens of a window are keys: the regional one and those on the map.

    Args:
        size: `(H, W)` of the local map before padding.
        grid: `(Hr, Wr)`.
        window_size: int, M.

    Returns:
        A bool tensor (R, T, T) with T = 1 + S * S, True = attend.
    """

    def on_map(length, regions):
        first = ops.arange(regions)[:, None] * window_size - halo(window_size)
        place = first + ops.arange(window_size + 2 * halo(window_size))  # (regions, S)
        return ops.logical_and(place >= 0, place < length)

    rows, columns = (on_map(s, g) for s, g in zip(size, grid, strict=True))
    local = ops.logical_and(rows[:, None, :, None], columns[None, :, None, :])  # (Hr, Wr, S, S)
    tokens = (window_size + 2 * halo(window_size)) ** 2
    local = ops.reshape(local, (-1, tokens))  # -> (R, S*S)
    keys = ops.concatenate([ops.ones_like(local[:, :1]), local], axis=1)  # (R, T)
    return ops.repeat(keys[:, None], 1 + tokens, axis=1)
