"""RegionViT's forward pass in NumPy, float64: slow, and written for reading.

From the paper's equations (1) to (3) and Table 2, and from what the official release does
where the paper is silent; none of the package's code is used. Weights are a dictionary of
arrays under the keys and in the layouts of the official PyTorch release.

Images and maps are single, channels last: (H, W, C). Every region, query and key has a loop
of its own; a token off the map is known by its place (row, column) alone.
"""

import itertools
import math

import numpy as np


def forward(arrays, image, window_size, num_heads, patch_size):
    """The whole model on one image.

    Args:
        arrays: `{official key: array}`; the depths, the stem, PEG, the pyramid norm and the
            head are where their keys are.
        image: (H, W, K).
        window_size: M, one entry a stage.
        num_heads: one entry a stage.
        patch_size: 2 or 4 pixels a local token side.

    Returns:
        `{"pyramid": [map of every stage], "regional_tokens": map, "logits": (classes,)}`.
    """
    arrays = {key: np.asarray(value, "float64") for key, value in arrays.items()}
    image = np.asarray(image, "float64")
    local = local_tokens(arrays, image, patch_size)
    regional = regional_tokens(arrays, image, patch_size * window_size[0])
    pyramid = []
    for i, (window, heads) in enumerate(zip(window_size, num_heads, strict=True)):
        stage = _below(arrays, f"layers.{i}.")
        if i > 0:
            regional, local = downsample(stage, regional), downsample(stage, local)
        regional, local = run_stage(stage, regional, local, window, heads)
        if f"norm{i}.weight" in arrays:
            local = norm(_below(arrays, f"norm{i}."), local, 1e-5)
        pyramid.append(local)
    outputs = {"pyramid": pyramid, "regional_tokens": regional}
    if "head.weight" in arrays:
        mean = norm(_below(arrays, "norm."), regional, 1e-6).mean((0, 1))
        outputs["logits"] = dense(_below(arrays, "head."), mean)
    return outputs


def _below(arrays, prefix):
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def gelu(x):
    return np.vectorize(lambda t: 0.5 * t * (1 + math.erf(t / math.sqrt(2))), otypes="d")(x)


def dense(arrays, x):
    return x @ arrays["weight"].T + arrays.get("bias", 0)


def norm(arrays, x, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    x = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return x * arrays["weight"].reshape(-1) + arrays["bias"].reshape(-1)


def convolution(arrays, maps, stride, padding, depthwise=False):
    """A PyTorch convolution: weight (out, in, k, k), or (out, 1, k, k) if `depthwise`."""
    weight, bias = arrays["weight"], arrays.get("bias", 0)
    side = weight.shape[-1]
    maps = np.pad(maps, [(padding, padding), (padding, padding), (0, 0)])
    if depthwise:  # output channel o reads input channel o // multiplier
        maps = np.repeat(maps, weight.shape[0] // maps.shape[-1], axis=-1)
    height, width = ((size - side) // stride + 1 for size in maps.shape[:2])
    output = np.zeros((height, width, weight.shape[0]))
    for i, j in np.ndindex(height, width):
        window = maps[i * stride : i * stride + side, j * stride : j * stride + side]
        if depthwise:
            output[i, j] = np.einsum("uvo,ouv->o", window, weight[:, 0]) + bias
        else:
            output[i, j] = np.einsum("uvc,ocuv->o", window, weight) + bias
    return output


def local_tokens(arrays, image, patch_size):
    """Table 2: one convolution, or three with norm and GELU between."""
    if "patch_embed.proj.weight" in arrays:
        stem = _below(arrays, "patch_embed.proj.")
        return convolution(stem, image, patch_size, patch_size - 1)
    x = image
    for place, stride in zip((0, 3, 6), {4: (2, 2, 1), 2: (2, 1, 1)}[patch_size], strict=True):
        if place > 0:
            x = gelu(norm(_below(arrays, f"patch_embed.proj.{place - 2}."), x, 1e-5))
        x = convolution(_below(arrays, f"patch_embed.proj.{place}."), x, stride, 1)
    return x


def regional_tokens(arrays, image, region):
    """A projection of every region; half of the padding before the image, the rest behind."""
    height, width = image.shape[:2]
    if height % region != 0 or width % region != 0:
        rows, columns = region - height % region, region - width % region
        before = rows // 2, columns // 2
        padding = [(before[0], rows - before[0]), (before[1], columns - before[1]), (0, 0)]
        image = np.pad(image, padding)
    return convolution(_below(arrays, "cls_token.proj."), image, region, 0)


def downsample(stage, maps):
    x = gelu(norm(_below(stage, "block.0.proj.0."), maps, 1e-5))
    return convolution(_below(stage, "block.0.proj.2."), x, 2, 1, depthwise=True)


def peg(stage, maps):
    return maps + convolution(_below(stage, "peg."), maps, 1, 1, depthwise=True)


def run_stage(stage, regional, local, window, heads):
    """All encoders of a stage, on maps (Hr, Wr, C) and (H, W, C)."""
    grid, size = regional.shape[:2], local.shape[:2]
    behind = [(0, g * window - s) for g, s in zip(grid, size, strict=True)]
    local = np.pad(local, [*behind, (0, 0)])
    depth = max(int(key.split(".")[1]) for key in stage if key.startswith("block."))
    for block in range(1, depth + 1):
        encoder = _below(stage, f"block.{block}.")
        regional, local = run_encoder(encoder, regional, local, size, window, heads)
        if block == 1 and "peg.weight" in stage:
            regional = peg(stage, regional)
            local = np.pad(peg(stage, local[: size[0], : size[1]]), [*behind, (0, 0)])
    return regional, local[: size[0], : size[1]]


def run_encoder(arrays, regional, local, size, window, heads):
    """Equation (2); the local map is padded, its real part has the given size."""
    grid, channels = regional.shape[:2], regional.shape[2]
    x = regional.reshape(-1, channels)
    branch = attention(arrays, norm(_below(arrays, "norm0."), x, 1e-6), heads)
    y_regional = (x + branch).reshape(regional.shape)

    regional, local = np.zeros_like(regional), local.copy()
    for i, j in np.ndindex(grid):
        rows = slice(i * window, (i + 1) * window)
        columns = slice(j * window, (j + 1) * window)
        y = np.concatenate([y_regional[i, j][None], local[rows, columns].reshape(-1, channels)])
        # the place of every token in the map; None is the regional token
        places = [None, *itertools.product(range(window), repeat=2)]

        def real(place, axis, origin=(i * window, j * window)):
            return place is None or origin[axis] + place[axis] < size[axis]

        def attends(q, k, last=(i, j) == (grid[0] - 1, grid[1] - 1), places=places, real=real):
            both = [real(places[q], axis) and real(places[k], axis) for axis in (0, 1)]
            return any(both) if last else all(both)

        def bias(head, q, k, places=places):
            if places[q] is None or places[k] is None:
                return 0.0
            side = 2 * window - 1
            table = arrays["attn.rel_pos"].reshape(heads, side, side)
            step = [(b - a + window // 2) % side for a, b in zip(places[q], places[k], strict=True)]
            return table[head, step[0], step[1]]

        z = y + attention(arrays, norm(_below(arrays, "norm1."), y, 1e-6), heads, bias, attends)
        hidden = gelu(dense(_below(arrays, "mlp.fc1."), norm(_below(arrays, "norm2."), z, 1e-6)))
        x = z + dense(_below(arrays, "mlp.fc2."), hidden)
        regional[i, j] = x[0]
        local[rows, columns] = x[1:].reshape(window, window, channels)
    return regional, local


def attention(arrays, x, heads, bias=None, attends=None):
    """Multi-head self-attention of (T, C), equation (3), one pair of tokens after the other.

    `bias(head, query, key)` is added to a pair's logit; pairs without `attends(query, key)`
    are left out. A query without any key gets nothing: no real token ever sees it.
    """
    tokens, channels = x.shape
    width = channels // heads
    qkv = dense(_below(arrays, "attn.qkv."), x).reshape(tokens, 3, heads, width)
    output = np.zeros((tokens, heads, width))
    for head, q in np.ndindex(heads, tokens):
        keys = [k for k in range(tokens) if attends is None or attends(q, k)]
        if not keys:
            continue
        logits = np.array([qkv[q, 0, head] @ qkv[k, 1, head] / math.sqrt(width) for k in keys])
        if bias is not None:
            logits += [bias(head, q, k) for k in keys]
        share = np.exp(logits - logits.max())
        output[q, head] = share / share.sum() @ qkv[keys, 2, head]
    return dense(_below(arrays, "attn.proj."), output.reshape(tokens, channels))
