"""TensorFlow Serving's contract on loopback, over a SavedModel: gRPC `Predict` and REST rows.

`tensorflow_model_server` is in no package registry, so this stands in for it. As it does, the
model runs in a session that is fed by the names in the signature: what a request must look like
is checked here as there, and every other error is the model's own.

Run as a script, it serves until its input ends:
tests/support/serving_server.py FOLDER prints the port.
"""

import base64
import concurrent.futures
import contextlib
import json
import sys

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.config_pb2 import CallableOptions

MESSAGE_BYTES = 64 * 2**20


class BadRequest(ValueError):
    """A request that TensorFlow Serving answers with INVALID_ARGUMENT."""


class SavedModel:
    """A SavedModel in a session of its own."""

    def __init__(self, folder):
        self.graph = tf.Graph()
        self.session = tf.compat.v1.Session(graph=self.graph)
        with self.graph.as_default():
            meta = tf.compat.v1.saved_model.load(self.session, ["serve"], str(folder))
        self.signatures = {
            name: (dict(signature.inputs), dict(signature.outputs))
            for name, signature in meta.signature_def.items()
            if signature.method_name == "tensorflow/serving/predict"
        }
        self.calls = {name: self._callable(*ends) for name, ends in self.signatures.items()}

    def _callable(self, inputs, outputs):
        # unlike `run`, it leaves it to the session itself to look at shapes
        options = CallableOptions()
        options.feed.extend(info.name for info in inputs.values())
        options.fetch.extend(info.name for info in outputs.values())
        return self.session._make_callable_from_options(options)

    def predict(self, signature, inputs):
        """{output: array}; raises BadRequest as `PreProcessPrediction` of TensorFlow Serving."""
        signature = signature or "serving_default"
        if signature not in self.signatures:
            raise BadRequest(f"Serving signature key {signature!r} not found.")
        expected, outputs = self.signatures[signature]
        if set(inputs) != set(expected):
            raise BadRequest(f"inputs must be {sorted(expected)}, not {sorted(inputs)}")
        values = []
        for name, info in expected.items():
            dtype = tf.as_dtype(info.dtype)
            if (
                tf.as_dtype(inputs[name].dtype if inputs[name].dtype != object else "string")
                != dtype
            ):
                raise BadRequest(f"{name} must be {dtype.name}, not {inputs[name].dtype}")
            values.append(inputs[name])
        try:
            return dict(zip(outputs, self.calls[signature](*values), strict=True))
        except tf.errors.InvalidArgumentError as error:
            raise BadRequest(error.message) from None

    def rest(self, body, signature=""):
        """TensorFlow Serving's REST API in the row format: bytes to (status, dict)."""
        try:
            request = json.loads(body)
            instances = request["instances"]
            name = next(iter(self.signatures[signature or "serving_default"][0]))
            rows = [_decoded(row.get(name, row) if isinstance(row, dict) else row)
                    for row in instances]  # fmt: skip
            value = (
                np.array([*rows, None], object)[:-1]
                if rows and isinstance(rows[0], bytes)
                else np.array(rows, "float32")
            )
            answer = self.predict(request.get("signature_name", signature), {name: value})
        except (BadRequest, KeyError, TypeError, ValueError) as error:
            return 400, {"error": str(error)}
        rows = [
            {output: _plain(value[i]) for output, value in answer.items()}
            for i in range(len(instances))
        ]
        return 200, {"predictions": rows}


def _decoded(value):
    if isinstance(value, dict) and set(value) == {"b64"}:
        return base64.b64decode(value["b64"], validate=True)
    return value


def _plain(value):
    if isinstance(value, bytes):
        return value.decode()
    value = value.tolist()
    return (
        [x.decode() if isinstance(x, bytes) else x for x in value]
        if isinstance(value, list)
        else value
    )


@contextlib.contextmanager
def serving(folder, threads=8):
    """Serves the gRPC `PredictionService`; gives the port on loopback."""
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    model = SavedModel(folder)

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            try:
                inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            except (TypeError, ValueError) as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"a tensor is damaged: {error}")
            try:
                answer = model.predict(request.model_spec.signature_name, inputs)
            except BadRequest as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            reply = predict_pb2.PredictResponse()
            for name, value in answer.items():
                reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return reply

    options = [("grpc.max_receive_message_length", MESSAGE_BYTES)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(threads), options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(1).wait()


def main(folder):
    """Serves until its input ends."""
    with serving(folder) as port:
        print(port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
