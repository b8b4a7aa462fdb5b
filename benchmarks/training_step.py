"""Time and memory of a training step with AdamW: python -m benchmarks.training_step."""

import argparse
import statistics

from benchmarks import pairs
from benchmarks.subjects import PEER, TRAINING


def main(arguments=None):
    """Prints medians, compile times, peaks, and ratios to the PyTorch RegionViT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    pairs.print_machine()
    seconds, peaks, ready = pairs.measure("training", list(TRAINING), **vars(options))
    head = ("s a step", "of peer", "first step s", "peak MiB", "of peer")
    print(f"{'':18}" + "".join(f"{title:>14}" for title in head))
    for name, times in seconds.items():
        row = f"{name:18}{statistics.median(times):14.2f}"
        row += f"{pairs.ratio(seconds, name, PEER):14.2f}" if PEER in seconds else " " * 14
        row += f"{ready[name]['first']:14.1f}{peaks[name]:14.0f}"
        row += f"{peaks[name] / peaks[PEER]:14.2f}" if PEER in peaks else ""
        print(row)


if __name__ == "__main__":
    main()
