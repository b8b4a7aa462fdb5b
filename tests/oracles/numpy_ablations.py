"""Encoders of the ablations in NumPy, float64: slow, and written for reading.

Tokens are known by their places: a region holds the places of the map that it reaches, and a
place off the map does not exist, so that nothing is padded or masked.
"""

import itertools

import numpy as np

from tests.oracles.numpy_regionvit import _below, attention, dense, gelu, norm


def run_encoder(arrays, regional, local, window, heads, reach=0, all_keys=False):
    """One encoder on one image.

    Args:
        arrays: weights under the names and in the layouts of the official release; those of a
            regional attention of its own under "regional.", the bias table in plain order.
        regional: (Hr, Wr, C), or `None` without regional tokens.
        local: (H, W, C).
        window: local tokens per region side.
        heads: attention heads.
        reach: how far a region's window reaches beyond the region on each side.
        all_keys: whether each region attends with the regional tokens of all.

    Returns:
        `(regional, local)`; a token in several windows is the mean of its copies.
    """
    height, width, channels = local.shape
    side = window + 2 * reach
    table = arrays.get("attn.rel_pos")
    if regional is None:
        grid, y = (-(-height // window), -(-width // window)), None
    else:
        grid, y = regional.shape[:2], regional.reshape(-1, channels)
        among = _below(arrays, "regional.") or arrays
        y = y + attention(among, norm(_below(arrays, "norm0."), y, 1e-6), heads)
        regional = np.zeros_like(regional)
    total, copies = np.zeros_like(local), np.zeros((height, width, 1))
    for region, (i, j) in enumerate(np.ndindex(grid)):
        rows = range(max(i * window - reach, 0), min((i + 1) * window + reach, height))
        columns = range(max(j * window - reach, 0), min((j + 1) * window + reach, width))
        places = list(itertools.product(rows, columns))
        leading = [] if y is None else list(y) if all_keys else [y[region]]
        first = len(leading)

        def bias(head, q, k, places=places, first=first):
            if table is None or min(q, k) < first:
                return 0.0
            rise, run = (b - a for a, b in zip(places[q - first], places[k - first], strict=True))
            return table[head, (rise + side - 1) * (2 * side - 1) + run + side - 1]

        x = np.array([*leading, *(local[place] for place in places)])
        x = x + attention(arrays, norm(_below(arrays, "norm1."), x, 1e-6), heads, bias)
        if all_keys:
            x, first = np.concatenate([x[[region]], x[first:]]), 1
        hidden = gelu(dense(_below(arrays, "mlp.fc1."), norm(_below(arrays, "norm2."), x, 1e-6)))
        x = x + dense(_below(arrays, "mlp.fc2."), hidden)
        if first:
            regional[i, j] = x[0]
        for place, token in zip(places, x[first:], strict=True):
            total[place] += token
            copies[place] += 1
    return regional, total / copies
