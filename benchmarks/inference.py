"""Images a second at inference: python -m benchmarks.inference."""

import argparse
import statistics

from benchmarks import pairs
from benchmarks.subjects import INFERENCE, PEER


def main(arguments=None):
    """Prints medians, and ratios to the PyTorch RegionViT and to matrix products alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small", help="small is what the peers are")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    pairs.print_machine()
    names = list(INFERENCE)
    seconds, _, _ = pairs.measure("inference", names, **vars(options))
    print(f"{'':18}{'images/s':>10}{'of peer':>10}{'of ceiling':>12}")
    for name, times in seconds.items():
        speed = options.batch / statistics.median(times)
        row = f"{name:18}{speed:10.2f}"
        for reference, width in ((PEER, 10), ("matrix products", 12)):
            known = reference in seconds
            row += f"{pairs.ratio(seconds, name, reference):{width}.2f}" if known else " " * width
        print(row)


if __name__ == "__main__":
    main()
