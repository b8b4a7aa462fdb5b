"""Seconds an image of RetinaNets at 672x1120: python -m benchmarks.detection."""

import argparse
import statistics

from benchmarks import pairs
from benchmarks.detection_subjects import (
    CONV_PEER,
    INFERENCE,
    KERAS_PEER,
    TRAINING,
    own_macs,
    torchvision_macs,
)

OURS, BACKBONE = "keras graph", "keras backbone"


def main(arguments=None):
    """Prints medians, and ratios to keras_hub's detector and, a multiply-add, to torchvision's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    pairs.print_machine()
    own, peer = own_macs(options.model), torchvision_macs()
    print(f"GMACs: ours {own / 1e9:.1f}, {CONV_PEER} {peer / 1e9:.1f}")
    for task, subjects in (("detection", INFERENCE), ("detection training", TRAINING)):
        seconds, peaks, _ = pairs.measure(task, list(subjects), **vars(options))
        head = ("s", "of keras-hub", "of torchvision", "GMAC/s, of it", "peak MiB")
        print(f"{task:26}" + "".join(f"{title:>15}" for title in head))
        for name, times in seconds.items():
            row = f"{name:26}{statistics.median(times):15.2f}"
            for reference in (KERAS_PEER, CONV_PEER):
                known = reference in seconds
                row += f"{pairs.ratio(seconds, name, reference):15.2f}" if known else " " * 15
            ours = name not in (CONV_PEER, BACKBONE) and CONV_PEER in seconds
            rate = pairs.ratio(seconds, name, CONV_PEER) * own / peer if ours else 0
            print(row + (f"{rate:15.2f}" if ours else " " * 15) + f"{peaks[name]:15.0f}")
        if {OURS, BACKBONE} <= set(seconds):
            outside = 1 - 1 / pairs.ratio(seconds, BACKBONE, OURS)
            print(f"outside the backbone: {outside:.0%} of the time")


if __name__ == "__main__":
    main()
