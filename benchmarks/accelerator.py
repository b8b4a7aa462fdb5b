"""Images a second on a GPU, in bfloat16, against PyTorch: python -m benchmarks.accelerator.

Ours run on Keras' JAX backend (compiled by XLA) or its torch backend (`--backend torch`), the peer
is birder's PyTorch RegionViT at window 7 through `torch.compile`; both take turns. The chip's
share counts two operations a multiply-add, three passes a training step, against matrix products of
the same chip measured in the same run, or against `--peak` TFLOP/s. Without a GPU it says so;
`--device cpu --batch 2 --models tiny` shows that the script works.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from benchmarks import pairs
from benchmarks.subjects import _declare_torchvision_operators, _images

MODELS = {"tiny": "t", "small": "s", "medium": "m", "base": "b"}  # ours: birder's


def keras_subject(backend, training, model, batch, size, device):
    """A call, or a step of `fit` with AdamW, of ours under mixed bfloat16."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the peer is on the same chip
    if device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    import keras
    import numpy as np

    import keras_regionvit

    if backend == "torch":
        keras.device(f"{device}:0" if device != "cpu" else "cpu").__enter__()
    keras.config.set_dtype_policy("mixed_bfloat16")
    backbone = keras_regionvit.RegionViTBackbone.from_variant(
        model, input_shape=(size, size, 3), drop_path_rate=0.1 if training else 0.0
    )
    net = keras_regionvit.build_classifier(backbone, classifier_activation=None)
    images = keras.ops.convert_to_tensor(_images(batch, size))
    if training:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.05), loss, jit_compile="auto")
        labels = keras.ops.convert_to_tensor(np.arange(batch) % 1000)
        return lambda: net.train_on_batch(images, labels)
    if backend == "jax":
        import jax

        def call(weights, state, images):
            return net.stateless_call(weights, state, images, training=False)[0]

        call = jax.jit(call)
        weights = [v.value for v in net.trainable_variables]
        state = [v.value for v in net.non_trainable_variables]
        return lambda: call(weights, state, images).block_until_ready()
    import torch

    compiled = torch.compile(net)

    def step():
        with torch.inference_mode():
            compiled(images, training=False)
        _wait(device)

    return step


def torch_subject(training, model, batch, size, device):
    """A call, or a step with AdamW, of the peer under autocast and `torch.compile`."""
    import torch

    _declare_torchvision_operators()
    from birder.model_registry import registry

    net = registry.net_factory(
        f"regionvit_{MODELS[model]}", 1000, size=(size, size), config={"window_size": 7}
    )
    net = net.to(device).train(training)
    compiled = torch.compile(net)
    images = torch.from_numpy(_images(batch, size)).permute(0, 3, 1, 2).contiguous().to(device)
    labels = torch.arange(batch, device=device) % 1000
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    loss = torch.nn.CrossEntropyLoss()

    def infer():
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
            compiled(images)
        _wait(device)

    def train():
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            value = loss(compiled(images), labels)
        value.backward()
        optimizer.step()
        return value.item()

    return train if training else infer


def product_subject(device, side=8192):
    """One product of bfloat16 matrices; `main` turns its time into TFLOP/s."""
    import torch

    matrix = torch.randn(side, side, dtype=torch.bfloat16, device=device)

    def step():
        matrix @ matrix
        _wait(device)

    return step


def _wait(device):
    if device != "cpu":
        import torch

        torch.cuda.synchronize()


def serve(task):
    """Makes a subject and runs it at each line on stdin, printing its seconds as JSON."""
    import time

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print: the answers have a channel of their own
    subject, arguments = task.pop("subject"), task
    if subject == "products":
        step = product_subject(arguments["device"], arguments["side"])
    elif subject == "peer":
        step = torch_subject(**arguments)
    else:
        step = keras_subject(subject, **arguments)
    for _ in range(3):  # compiled, and tuned
        step()
    print(json.dumps({}), file=answers, flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        for _ in range(5):
            step()
        print(json.dumps({"seconds": (time.perf_counter() - begun) / 5}), file=answers, flush=True)


class Worker(pairs.Worker):
    """A process with one subject of this script."""

    command = ("-m", "benchmarks.accelerator", "--serve")


def gpu_name():
    """The GPU that PyTorch finds, asked in a process of its own, or ""."""
    code = "import torch; print(torch.cuda.get_device_name())"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return asked.stdout.strip() if asked.returncode == 0 else ""


def measure(subjects, rounds):
    """`{name: median seconds}` of subjects `{name: task}` in turn; what fails is said."""
    workers = {}
    for name, task in subjects.items():
        try:
            workers[name] = Worker(**task)
        except RuntimeError as error:
            print(f"left out: {name}: {error}")
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            seconds[name].append(worker.measure()["seconds"])
    for worker in workers.values():
        worker.close()
    return {name: statistics.median(times) for name, times in seconds.items()}


def main(arguments=None):
    """Prints images a second, the ratio to the peer and the share of the chip's peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="jax", choices=("jax", "torch"))
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--peak", type=float, help="TFLOP/s of the chip; default: measured")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(json.loads(options.serve))
        return
    pairs.print_machine()
    name = "the CPU" if options.device == "cpu" else gpu_name()
    if not name:
        print("No GPU is at hand (or PyTorch does not find it): nothing was measured.")
        return
    os.environ["KERAS_BACKEND"] = options.backend  # TensorFlow need not be there
    from keras_regionvit.variants import VARIANTS

    peak = options.peak
    if peak is None:
        side = 8192 if options.device == "cuda" else 1024
        task = {"subject": "products", "device": options.device, "side": side}
        peak = 2 * side**3 / measure({"products": task}, options.rounds)["products"] / 1e12
    print(
        f"{name}: peak {peak:.3g} TFLOP/s; bfloat16, batch {options.batch}, {options.size} pixels"
    )
    print(f"{'':22}{'images/s':>10}{'peer':>10}{'ratio':>8}{'of peak':>9}")
    for training in (False, True):
        for model in options.models:
            shared = {
                "training": training,
                "model": model,
                "batch": options.batch,
                "size": options.size,
                "device": options.device,
            }
            subjects = {name: {"subject": name, **shared} for name in (options.backend, "peer")}
            seconds = measure(subjects, options.rounds)
            speeds = {name: options.batch / time for name, time in seconds.items()}
            row = f"{'training' if training else 'inference'} {model}".ljust(22)
            ours, peer = speeds.get(options.backend), speeds.get("peer")
            paper = VARIANTS[model].paper
            row += f"{ours:10.1f}" if ours else " " * 10
            row += f"{peer:10.1f}" if peer else " " * 10
            row += f"{ours / peer:8.2f}" if ours and peer else " " * 8
            if ours and paper and options.size == 224:
                operations = 2e9 * paper.gflops * (3 if training else 1) * ours
                row += f"{operations / peak / 1e12:9.1%}"
            print(row, flush=True)


if __name__ == "__main__":
    main()
