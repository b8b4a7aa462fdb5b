"""Exported models in TensorFlow and in other runtimes, as functions of images to dicts of arrays.

Each is made of the folder of a SavedModel with one signature; where the runtime is not installed
the test is skipped. B images, H W their pixels.
"""

import subprocess
import sys
import warnings

import pytest
import tensorflow as tf


def saved_model(folder):
    """TensorFlow itself."""
    function = tf.saved_model.load(folder).signatures["serving_default"]
    (name,) = function.structured_input_signature[1]
    return lambda x: {k: v.numpy() for k, v in function(**{name: tf.constant(x)}).items()}


def openvino(folder):
    """OpenVINO, which reads a SavedModel by itself."""
    ov = pytest.importorskip("openvino")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # by default bfloat16 where a processor has it
    compiled = ov.Core().compile_model(ov.convert_model(folder), "CPU", exact)

    def run(x):
        result = compiled([x])
        return {
            next(iter(output.names)).split(":")[0]: result[output] for output in compiled.outputs
        }

    return run


def onnx_runtime(folder):
    """ONNX Runtime, by tf2onnx."""
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    file = f"{folder}.onnx"
    command = ["-m", "tf2onnx.convert", "--saved-model", folder, "--output", file, "--opset", "18"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    session = onnxruntime.InferenceSession(file)
    names = [output.name for output in session.get_outputs()]
    feed = session.get_inputs()[0].name
    return lambda x: dict(zip(names, session.run(None, {feed: x}), strict=True))


def litert(folder):
    """LiteRT with nothing but its own operations, converted for each size of a batch."""
    loaded = tf.saved_model.load(folder)
    serve = loaded.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]

    def run(x):
        function = tf.function(lambda images: serve(**{name: images}), autograph=False)
        function = function.get_concrete_function(tf.TensorSpec(x.shape, x.dtype, name="images"))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], loaded)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the interpreter moves to another package
            interpreter = tf.lite.Interpreter(model_content=converter.convert())
        return interpreter.get_signature_runner()(images=x)

    return run


RUNTIMES = {
    "SavedModel": saved_model,
    "OpenVINO": openvino,
    "ONNX Runtime": onnx_runtime,
    "LiteRT": litert,
}
