"""Time over image size, beside full self-attention: python -m benchmarks.resolution."""

import argparse
import os
import statistics
import time

from benchmarks import pairs

SHARE = 0.2  # of the memory that is free; beyond it full attention is not tried


def seconds_a_call(model, size, rounds):
    """Median seconds of a traced call on one image."""
    import tensorflow as tf

    call = tf.function(lambda x: model(x, training=False), autograph=False)
    images = tf.random.normal((1, size, size, 3))
    call(images)
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call(images).numpy()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def attention_bytes(size, heads=3, patch=4):
    """Bytes of one stage-1 encoder with one region for all: logits, weights, bias and its index."""
    tokens = 1 + (size // patch) ** 2
    return (2 * 4 * heads + 4 * heads + 8) * tokens**2


def main(arguments=None):
    """Prints, for each size, both models' time and time a pixel over that at the first size.

    Full self-attention is the same model with one region that covers the whole map. 320 is no
    multiple of the region of 28 pixels: R2L pads it to 336.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 320, 448, 672, 896])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    import keras

    import keras_regionvit

    pairs.print_machine()
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    print(f"{'size':>5}{'R2L s':>9}{'a pixel':>9}{'full s':>9}{'a pixel':>9}")
    first: dict[str, float] = {}
    for size in options.sizes:
        row = f"{size:5}"
        for kind, windows in (("R2L", 7), ("full", [size // 2**i for i in range(2, 6)])):
            needed = attention_bytes(size)
            if kind == "full" and needed > SHARE * free:
                row += f"   left out: one attention takes {needed / 2**30:.0f} GiB"
                continue
            keras.backend.clear_session()
            model = keras_regionvit.RegionViTSmall(
                weights=None, input_shape=(size, size, 3), window_size=windows
            )
            seconds = seconds_a_call(model, size, options.rounds)
            pixel = seconds / size**2
            row += f"{seconds:9.3f}{pixel / first.setdefault(kind, pixel):9.2f}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
