"""JPEGs to augmented batches at 224: python -m benchmarks.input_pipeline.

This project's pipeline and timm's transforms with the same recipe (RandomResizedCrop bicubic, flip,
rand-m9-mstd0.5-inc1, normalisation, erasing .25 per pixel), each in a process of its own on one and
the same core, in turn. MixUp and CutMix, which timm applies to the batch later, are left out of
both. The JPEGs are real photos of installed packages (foolbox, scikit-image, scikit-learn,
matplotlib), once as they lie and once as ImageNet's are: 500 pixels the longer side, baseline.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import time
from importlib import util
from pathlib import Path
from typing import Any

PACKAGES = ("foolbox", "skimage", "sklearn", "matplotlib")
RECIPE: dict[str, Any] = {"auto_augment": "rand-m9-mstd0.5-inc1", "color_jitter": 0.4}
ERASING, SIZE = 0.25, 224
STEPS = 4  # a measurement: so that batches made ahead, two at once, even out


def photos(as_imagenet):
    """Encoded JPEGs; with `as_imagenet` brought to 500 pixels and written again.

    Raises:
        ValueError: none of the packages is installed.
    """
    from PIL import Image

    found = []
    for package in PACKAGES:
        spec = util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            found += sorted(Path(folder).rglob("*.jpg"))
    if not found:
        raise ValueError(f"no photos: install one of {', '.join(PACKAGES)}")
    if not as_imagenet:
        return [path.read_bytes() for path in found]
    encoded = []
    for path in found:
        image = Image.open(path).convert("RGB")
        image.thumbnail((500, 500), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=92)
        encoded.append(file.getvalue())
    return encoded


def ours(data, batch):
    """A step of `training_batches`."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from keras_regionvit.imagenet import MEAN, STD
    from training.augmentation import image_augmentation
    from training.augmentation.crops import training_image
    from training.data.pipeline import training_batches
    from training.data.sources.source import indexed_source

    encoded = tf.constant([data[i % len(data)] for i in range(batch)])
    source = indexed_source(
        "photos",
        ["a", "b"],
        np.arange(batch) % 2,
        channels=3,
        image_of=lambda index: tf.gather(encoded, index),
        name_of=lambda index: tf.strings.as_string(index),
    )
    augment = image_augmentation(**RECIPE, erasing=ERASING, mean=MEAN, std=STD)

    def prepare(example, seed):
        seeds = tf.unstack(tf.random.split(seed, 2))
        image, _ = training_image(
            example["image"], seeds[0], size=SIZE, channels=3, crop="random_resized"
        )
        image, _ = augment(tf.ensure_shape(image, (SIZE, SIZE, 3)), seeds[1])
        return image, tf.one_hot(example["label"], 2)

    specs = tf.TensorSpec((SIZE, SIZE, 3)), tf.TensorSpec((2,))
    batches = training_batches(
        source, prepare, specs, batch_size=batch, epochs=100_000, seed=0, parallel=1
    )
    iterator = iter(batches)
    return lambda: next(iterator)[0].numpy()


def timm(data, batch):
    """The same with timm's training transforms."""
    from benchmarks.subjects import _declare_torchvision_operators

    _declare_torchvision_operators()
    import numpy as np
    import torch
    from PIL import Image, ImageOps
    from timm.data import create_transform

    torch.set_num_threads(1)
    posterize = ImageOps.posterize
    # Pillow 13 refuses the 0 bits that timm may ask for
    ImageOps.posterize = lambda image, bits: posterize(image, max(bits, 1))
    transform = create_transform(
        SIZE,
        is_training=True,
        interpolation="bicubic",
        re_prob=ERASING,
        re_mode="pixel",
        **RECIPE,
    )

    def step():
        images = [Image.open(io.BytesIO(data[i % len(data)])).convert("RGB") for i in range(batch)]
        return np.asarray(torch.stack([transform(image) for image in images]))

    return step


SUBJECTS = {"ours": ours, "timm": timm}


def serve(subject, batch, as_imagenet):
    """A process with one subject: a line of seconds a step for each line it reads."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print: the answers have a channel of their own
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    step = SUBJECTS[subject](photos(as_imagenet), batch)
    for _ in range(5):  # the graph is made, and as many batches ahead as will be
        images = step()
    if images.shape not in ((batch, SIZE, SIZE, 3), (batch, 3, SIZE, SIZE)):
        raise RuntimeError(f"{subject} gives batches of shape {images.shape}")
    print("ready", file=answers, flush=True)
    before = time.process_time()
    for _ in sys.stdin:
        for _ in range(STEPS):
            step()
        now = time.process_time()  # also counts the batches made ahead since the last answer
        print((now - before) / STEPS, file=answers, flush=True)
        before = now


class Worker:
    """A process that serves one subject."""

    def __init__(self, subject, options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.input_pipeline", "--serve", subject, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin and self.process.stdout  # as asked for
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        if self.stdout.readline() != "ready\n":
            raise RuntimeError(f"{subject} failed; its words are above")

    def measure(self):
        """Seconds a batch that the core spent since the last answer."""
        self.stdin.write("go\n")
        self.stdin.flush()
        return float(self.stdout.readline())

    def close(self):
        """Ends the process."""
        self.stdin.close()
        self.process.wait()


def measure(batch, rounds, as_imagenet):
    """`{subject: [core seconds a batch]}`, both in turn; the first of each is left out.

    Seconds are those that the core spent on the subject's process from batch to batch, so what
    else runs on the machine counts little.
    """
    options = ["--batch", str(batch), *["--as-imagenet"] * as_imagenet]
    workers = {subject: Worker(subject, options) for subject in SUBJECTS}
    seconds: dict[str, list[float]] = {subject: [] for subject in SUBJECTS}
    for _ in range(rounds):
        for subject, worker in workers.items():
            seconds[subject].append(worker.measure())
    for worker in workers.values():
        worker.close()
    return {subject: times[1:] for subject, times in seconds.items()}


def main(arguments=None):
    """Prints images a second on one core, and the ratio of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--as-imagenet", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=SUBJECTS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve, options.batch, options.as_imagenet)
        return
    from benchmarks import pairs

    pairs.print_machine()
    for as_imagenet in (True, False):
        data = photos(as_imagenet)
        size = sum(map(len, data)) / len(data) / 1000
        kind = "500 pixels, baseline" if as_imagenet else "as they lie"
        print(f"{len(data)} photos, {kind}, {size:.0f} kB on average")
        seconds = measure(options.batch, options.rounds, as_imagenet)
        medians = {subject: statistics.median(times) for subject, times in seconds.items()}
        for subject, median in medians.items():
            print(f"  {subject:6}{options.batch / median:8.1f} images a core second")
        print(f"  ours / timm {medians['timm'] / medians['ours']:.2f}")


if __name__ == "__main__":
    main()
