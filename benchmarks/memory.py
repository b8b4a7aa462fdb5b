"""Memory of a training step and of attention: python -m benchmarks.memory."""

import argparse

from benchmarks import pairs
from benchmarks.subjects import PEER, TRAINING

MIB = 2**20


def print_training(batch, size):
    """Prints the peak of RSS over the imports, each subject in a process of its own."""
    print(f"{'training step':28}{'peak MiB':>10}{'of peer':>9}")
    peaks: dict[str, float] = {}
    for name in (PEER, *(name for name in TRAINING if name != PEER)):
        _, peak, _ = pairs.measure("training", [name], batch=batch, size=size, rounds=2)
        peaks |= peak
        if name in peaks:
            share = f"{peaks[name] / peaks[PEER]:9.2f}" if PEER in peaks else ""
            print(f"{name:28}{peaks[name]:10.0f}{share}", flush=True)


def attention_weights(window, side):
    """How many attention weights a head has: regional, then local attention in each region.

    Args:
        window: local tokens per region side; `side` means full self-attention, without
            regional tokens.
        side: local tokens per side of the map.
    """
    if window == side:
        return side**4
    regions = (side // window) ** 2
    return regions * (1 + window**2) ** 2 + regions**2


def measured_bytes(window, side, heads, width, batch):
    """What the allocator hands out while the attention weights of one encoder are computed."""
    import tensorflow as tf

    tokens = side * side
    groups = [(1, tokens)]
    if window < side:
        regions = (side // window) ** 2
        groups = [(1, regions), (regions, 1 + window**2)]
    peak = 0
    for count, each in groups:
        query = tf.random.normal((batch * count, heads, each, width // heads))

        def weights(query):
            return tf.nn.softmax(tf.matmul(query, query, transpose_b=True))

        tf.config.experimental.reset_memory_stats("CPU:0")
        before = tf.config.experimental.get_memory_info("CPU:0")["current"]
        kept = weights(query)
        peak += tf.config.experimental.get_memory_info("CPU:0")["current"] - before
        del kept
    return peak


def print_attention(batch, size):
    """Prints weights and bytes of each stage of S beside full self-attention on its map."""
    print(f"{'attention of S, one encoder':28}{'weights':>10}{'full':>12}{'saved':>8}", end="")
    print(f"{'MiB':>9}{'full':>9}{'saved':>8}")
    for stage, heads in enumerate((3, 6, 12, 24)):
        side = size // 2 ** (2 + stage)
        ours, full = attention_weights(7, side), attention_weights(side, side)
        row = f"stage {stage + 1}, {side}x{side} tokens".ljust(28)
        row += f"{ours:10,}{full:12,}{1 - ours / full:8.1%}"
        if batch * heads * full * 8 < 2**32:
            mine, theirs = (
                measured_bytes(window, side, heads, 32 * heads, batch) for window in (7, side)
            )
            row += f"{mine / MIB:9.1f}{theirs / MIB:9.1f}{1 - mine / theirs:8.1%}"
        print(row, flush=True)


def main(arguments=None):
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--attention-only", action="store_true", help="skip the training steps")
    options = parser.parse_args(arguments)
    pairs.print_machine()
    print_attention(options.batch, options.size)
    if not options.attention_only:
        print_training(options.batch, options.size)


if __name__ == "__main__":
    main()
