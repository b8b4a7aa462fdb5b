"""The exported model in other runtimes: the same numbers, and images a second.

Usage:

    python -m benchmarks.runtimes --rounds 5
    python -m benchmarks.runtimes --model runs/quickstart/model.keras --batch 1000
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np


def tensorflow(folder, shape):
    """The SavedModel in TensorFlow.

    Args:
        folder: a SavedModel with the signature `images` -> `probabilities`.
        shape: (B, H, W, channels).

    Returns:
        A function of float32 images to probabilities.
    """
    import tensorflow as tf

    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return lambda images: serve(images=tf.constant(images))["probabilities"].numpy()


def openvino(folder, shape):
    """As `tensorflow`, in OpenVINO, which reads the SavedModel itself."""
    import openvino

    core = openvino.Core()
    net = core.read_model(str(folder))
    net.reshape(list(shape))
    compiled = core.compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: compiled(images)[0]


def litert(folder, shape, threads=2, optimizations=(), samples=None):
    """As `tensorflow`, in LiteRT (TensorFlow Lite).

    Args:
        folder: see `tensorflow`.
        shape: see `tensorflow`.
        threads: of the interpreter.
        optimizations: of `tf.lite.Optimize`, for int8 with `samples`.
        samples: optional batches of float32 images to calibrate with, of the given shape.
    """
    import warnings

    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    function = tf.function(
        lambda images: loaded.signatures["serving_default"](images=images)["probabilities"]
    ).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], loaded)
    converter.optimizations = list(optimizations)
    if samples is not None:
        converter.representative_dataset = lambda: ([x] for x in samples)
    model = converter.convert()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the interpreter moves to another package
        interpreter = tf.lite.Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(images):
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return run


def onnxruntime(folder, shape):
    """As `tensorflow`, in ONNX Runtime through tf2onnx' command."""
    import onnxruntime
    import tf2onnx  # noqa: F401

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "model.onnx")
        # tf2onnx' own function for functions makes inputs of captured constants
        command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", folder, "--output",
                   path, "--signature_def", "serving_default", "--opset", 17]  # fmt: skip
        subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
        model = path.read_bytes()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


class CProgram:
    """As `tensorflow`, in a C program on TensorFlow's C API, without Python.

    Attributes:
        repeats: how many more calls to measure.
        seconds: of one of them, measured inside.
    """

    def __init__(self, folder, shape, repeats=0):
        import tensorflow as tf

        if shutil.which("gcc") is None:
            raise ImportError("gcc is not installed")
        self.folder, self.repeats, self.seconds = folder, repeats, 0.0
        self.scratch = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, self.scratch, ignore_errors=True)
        self.program = self.scratch / "serve"
        libraries = Path(tf.sysconfig.get_lib())
        source = Path(__file__).with_name("serve.c")
        # the libraries' names have versions, which -l does not find
        found = [str(path) for path in sorted(libraries.glob("libtensorflow_*.so*"))]
        command = ["gcc", "-O2", "-o", self.program, source, f"-I{tf.sysconfig.get_include()}",
                   *found, f"-Wl,-rpath,{libraries}"]  # fmt: skip
        subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)

    def __call__(self, images):
        """Probabilities of float32 images."""
        given, made = self.scratch / "images", self.scratch / "probabilities"
        np.ascontiguousarray(images, "float32").tofile(given)
        command = [self.program, self.folder, given, made, *images.shape, self.repeats]
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
        if self.repeats:
            self.seconds = float(done.stdout)
        return np.fromfile(made, "float32").reshape(len(images), -1)


RUNTIMES: dict[str, Callable] = {
    "TensorFlow": tensorflow,
    "OpenVINO": openvino,
    "LiteRT": litert,
    "ONNX Runtime": onnxruntime,
    "TensorFlow C API": CProgram,
}


def seconds_of(run, images):
    """Seconds of one call; the C program measures itself, after a first call of its own."""
    if isinstance(run, CProgram):
        run.repeats = 1
        run(images)
        return run.seconds
    begun = time.perf_counter()
    run(images)
    return time.perf_counter() - begun


def compared(made, images, expected, rounds):
    """Speeds and answers of runtimes, which take turns: a machine's speed drifts.

    Args:
        made: dict of functions, as `RUNTIMES` makes them.
        images: float32.
        expected: Keras' probabilities.
        rounds: calls of each that are measured; one more before them is not.

    Returns:
        Dict of `(images per second, greatest difference)`, the median of the rounds.
    """
    differences = {name: np.abs(run(images) - expected).max() for name, run in made.items()}
    seconds: dict = {name: [] for name in made}
    for _ in range(rounds):
        for name, run in made.items():
            seconds[name].append(seconds_of(run, images))
    return {
        name: (len(images) / statistics.median(seconds[name]), differences[name]) for name in made
    }


def large(options):
    """A variant with random weights, and noise. Its answers are as sure as a trained one's."""
    import keras_regionvit
    from keras_regionvit.tasks.classification import HEAD

    shape = (options.batch, options.size, options.size, 3)
    backbone = keras_regionvit.RegionViTBackbone.from_variant(options.model, input_shape=shape[1:])
    model = keras_regionvit.build_classifier(backbone)
    head = model.get_layer(HEAD)
    head.kernel.assign(head.kernel * 10)  # else all classes have 0.001, and nothing shows
    return model, np.random.default_rng(0).standard_normal(shape).astype("float32")


def small_trained(options):
    """The quick start's model and held-out images."""
    import keras

    from training.data.sources import fashion_mnist

    model = keras.models.load_model(options.model, compile=False)
    return model, fashion_mnist.load()[1].images[: options.batch].astype("float32")


def main(arguments=None):
    """The command: prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtimes", description=__doc__)
    parser.add_argument(
        "--model", default="small", help="a variant, or the quick start's model.keras (small)"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)

    from keras_regionvit.export.saved_model import export_saved_model

    model, images = small_trained(options) if options.model.endswith(".keras") else large(options)
    shape = images.shape
    expected = model.predict(images, verbose=0)
    print("| runtime | images/s | greatest difference to Keras |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "1")
        export_saved_model(model, folder)
        made = {}
        for name, make in RUNTIMES.items():
            try:
                made[name] = make(folder, shape)
            except ImportError as error:
                print(f"| {name} | not measured: {error} | |")
        found = compared(made, images, expected, options.rounds)
        for name, (speed, difference) in found.items():
            print(f"| {name} | {speed:.2f} | {difference:.1e} |")


if __name__ == "__main__":
    main()
