"""What several devices cost and may bring: python -m benchmarks.scaling.

Measures bytes that replicas exchange in a step, and the time of a step under MirroredStrategy over
one device against the same step without it, in turn. From a step's time on one device and the
bandwidth between devices, both stated, follows what efficiency to expect of more of them.
"""

import argparse
import statistics
import time

from benchmarks import pairs

# bytes a second that each GPU of a ring sends and receives, as vendors state them, times 0.8
LINKS = {"8 GPUs, NVLink 4 (450 GB/s)": (8, 450e9), "8 GPUs, PCIe 4 x16 (32 GB/s)": (8, 32e9),
         "32 GPUs, 4 nodes, 400 Gb/s each": (32, 50e9), "32 GPUs, 4 nodes, 100 Gb/s each":
         (32, 12.5e9)}  # fmt: skip
ACHIEVED = 0.8


def ring_seconds(bytes_, replicas, bandwidth):
    """Seconds of a ring all-reduce: each replica sends 2 (n - 1) / n of the bytes.

    >>> ring_seconds(100e6, 2, 1e9)
    0.1
    """
    return 2 * (replicas - 1) / replicas * bytes_ / bandwidth


def efficiency(step_seconds, bytes_, replicas, bandwidth):
    """Speed of n replicas over n times the speed of one, nothing overlapped.

    The step adds gradients up after the backward pass, since it clips them together; so the
    exchange comes on top.

    >>> efficiency(0.3, 150e6, 2, 1e9)
    0.666...
    """
    return step_seconds / (step_seconds + ring_seconds(bytes_, replicas, bandwidth))


def reduced_bytes(strategy, recipe):
    """Bytes that the replicas add up in a step, counted where TensorFlow is asked to."""
    import numpy as np
    import tensorflow as tf

    from training.engine.state import make_train_state
    from training.engine.steps import training_step
    from training.tasks.classification import Classification

    task = Classification(recipe)
    state = make_train_state(task, task.assumed_info(), 10, strategy)
    step = training_step(
        strategy, state.model, state.optimizer, task.loss, clip_norm=1.0, average=state.average,
        ema=recipe.optimizer.ema,
    )  # fmt: skip
    extended, counted = strategy.extended, []
    reduce_to, batch_reduce_to = extended._reduce_to, extended._batch_reduce_to

    def note(value):
        one = strategy.experimental_local_results(value)[0]
        counted.append(int(np.prod(one.shape)) * one.dtype.size)

    def reduce(op, value, *args):
        note(value)
        return reduce_to(op, value, *args)

    def batch_reduce(op, values, *args):
        for value, _ in values:
            note(value)
        return batch_reduce_to(op, values, *args)

    extended._reduce_to, extended._batch_reduce_to = reduce, batch_reduce
    try:
        rows = recipe.data.batch_size // strategy.num_replicas_in_sync
        values = [
            strategy.experimental_distribute_values_from_function(
                lambda _, shape=(rows, *spec.shape): tf.zeros(shape)
            )
            for spec in task.specs(task.assumed_info())
        ]
        step.get_concrete_function(*values)
    finally:
        extended._reduce_to, extended._batch_reduce_to = reduce_to, batch_reduce_to
    return sum(counted), sum(4 * int(np.prod(v.shape)) for v in state.model.trainable_variables)


def paired_steps(recipe, rounds):
    """Seconds of steps on one device and under Mirrored over one, in turn."""
    import tensorflow as tf

    from training.engine.state import make_train_state
    from training.engine.steps import training_step
    from training.tasks.classification import Classification

    steps = {}
    task, rows = Classification(recipe), recipe.data.batch_size
    image, label = task.specs(task.assumed_info())
    images = tf.random.stateless_normal((rows, *image.shape), (0, 1))
    labels = tf.one_hot(tf.range(rows) % label.shape[0], label.shape[0])
    for name, strategy in (
        ("one", tf.distribute.get_strategy()),
        ("mirrored x1", tf.distribute.MirroredStrategy(_first_device())),
    ):
        state = make_train_state(task, task.assumed_info(), 10, strategy)
        step = training_step(
            strategy, state.model, state.optimizer, task.loss, clip_norm=1.0,
            average=state.average, ema=recipe.optimizer.ema,
        )  # fmt: skip
        step(images, labels)["loss"].numpy()
        steps[name] = step
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds):
        for name in list(steps)[:: 1 if turn % 2 else -1]:
            begun = time.perf_counter()
            steps[name](images, labels)["loss"].numpy()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def _first_device():
    import tensorflow as tf

    return ["/gpu:0" if tf.config.list_physical_devices("GPU") else "/cpu:0"]


def main(arguments=None):
    """Prints the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--variant", default="small")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--step", type=float, nargs="+", default=[],
        help="seconds of steps on one GPU, measured there, beside the one measured here",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    from training.recipes import catalogue

    pairs.print_machine()
    recipe = catalogue.load("imagenet1k").RECIPE.with_overrides(
        {"model.variant": options.variant, "data.image_size": str(options.size),
         "optimizer.ema": "0.9999", "data.batch_size": str(options.batch)}
    )  # fmt: skip
    small = recipe.with_overrides({"data.batch_size": "2"})
    names = [d.name.removeprefix("/physical_device:") for d in tf.config.list_logical_devices()]
    kind = "GPU" if any("GPU" in name for name in names) else "CPU"
    count = min(2, len(tf.config.list_logical_devices(kind)))
    strategy = tf.distribute.MirroredStrategy([f"/{kind}:{i}" for i in range(count)])
    moved, weights = reduced_bytes(strategy, small)
    print(f"bytes all-reduced a step: {moved:,}; bytes of gradients: {weights:,}")
    seconds = paired_steps(recipe, options.rounds)
    one = statistics.median(seconds["one"])
    overhead = 1 / pairs.ratio(seconds, "mirrored x1", "one") - 1
    print(
        f"step of {options.batch} images on one device: {one:.3f} s; mirrored x1: {overhead:+.1%}"
    )
    steps = [one, *options.step]
    print(f"\nefficiency expected with {ACHIEVED:.0%} of the stated bandwidth")
    print(f"{'':34}{'all-reduce':>12}" + "".join(f"{f'step {s:.3f} s':>14}" for s in steps))
    for name, (replicas, bandwidth) in LINKS.items():
        exchange = ring_seconds(weights, replicas, ACHIEVED * bandwidth)
        shares = (efficiency(s, weights, replicas, ACHIEVED * bandwidth) for s in steps)
        print(f"{name:34}{exchange * 1e3:9.2f} ms" + "".join(f"{s:14.1%}" for s in shares))


if __name__ == "__main__":
    main()
