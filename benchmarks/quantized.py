"""What int8 costs in accuracy after training: the quick start in LiteRT, on held-out images.

Usage: python -m benchmarks.quantized --model runs/quickstart/model.keras
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.runtimes import litert

BATCH = 100
CALIBRATION = 500  # training images whose activations set the ranges


def main(arguments=None):
    """The command: prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantized", description=__doc__)
    parser.add_argument("--model", required=True, metavar="FILE", help="the quick start's .keras")
    options = parser.parse_args(arguments)

    import keras
    import tensorflow as tf

    from keras_regionvit.export.saved_model import export_saved_model
    from training.data.sources import fashion_mnist

    model = keras.models.load_model(options.model, compile=False)
    training, held_out = fashion_mnist.load()
    images = held_out.images.astype("float32")
    samples = training.images[:CALIBRATION].astype("float32").reshape(-1, BATCH, 28, 28, 1)
    int8 = [tf.lite.Optimize.DEFAULT]
    settings: dict[str, dict] = {
        "LiteRT, float32": {},
        "LiteRT, int8 weights": {"optimizations": int8},
        "LiteRT, int8 weights and activations": {"optimizations": int8, "samples": samples},
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "1")
        export_saved_model(model, folder)
        print("| model | held-out accuracy | images/s |\n|---|---|---|")
        expected = model.predict(images, batch_size=BATCH, verbose=0).argmax(axis=1)
        print(f"| Keras, float32 | {np.mean(expected == held_out.labels):.1%} | |", flush=True)
        for name, arguments in settings.items():
            run = litert(folder, (BATCH, 28, 28, 1), **arguments)
            run(images[:BATCH])
            begun = time.perf_counter()
            found = [
                run(images[i : i + BATCH]).argmax(axis=1) for i in range(0, len(images), BATCH)
            ]
            speed = len(images) / (time.perf_counter() - begun)
            accuracy = np.mean(np.concatenate(found) == held_out.labels)
            print(f"| {name} | {accuracy:.1%} | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
