"""TensorFlow Serving's contract: what a request must be, by gRPC, by REST, and by the command."""

import base64
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.export import Preprocessing, export_saved_model
from tests.support import served_model, serving_load, serving_server
from tests.support.photos import KINDS
from tests.support.served_model import LABELS, MALFORMED, SIZE, strings

PHOTOS = [KINDS["jpeg"], b"no image", KINDS["png, alpha"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("serving") / "1"
    export_saved_model(
        served_model.build(), path, LABELS, preprocessing=Preprocessing(SIZE), top_k=3
    )
    return path


@pytest.fixture(scope="module")
def expected(folder):
    """The answer by the names of the outputs, from the function that TensorFlow loads."""
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return {k: v.numpy() for k, v in serve(image_bytes=tf.constant(PHOTOS)).items()}


@pytest.fixture(scope="module")
def model(folder):
    return serving_server.SavedModel(folder)


@pytest.fixture(scope="module")
def predict(folder):
    """A client's call."""
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api")
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    with (
        serving_server.serving(folder) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def call(inputs, signature="serving_default"):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = "served", signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            reply = stub.Predict(request, timeout=60)
            return {name: tf.make_ndarray(value) for name, value in reply.outputs.items()}

        yield call


def test_grpc_answers_as_the_model(predict, expected):
    answer = predict({"image_bytes": PHOTOS})
    assert answer["valid"].tolist() == [True, False, True]
    assert set(answer) == set(expected)
    for name, value in expected.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(answer[name], value, atol=1e-6)
        else:
            np.testing.assert_array_equal(answer[name], value)
    images = np.random.default_rng(0).standard_normal((2, SIZE, SIZE, 3)).astype("float32")
    assert predict({"images": images}, "predict_pixels")["probabilities"].shape == (2, 7)


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_requests_are_invalid_arguments(predict, kind):
    import grpc

    with pytest.raises(grpc.RpcError) as error:
        predict(*MALFORMED[kind])
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert predict({"image_bytes": PHOTOS[:1]})["valid"].all()  # and it goes on


def test_the_model_itself_looks_at_ranks(model):
    # Not the stand-in for the server: a session feeds any shape
    for value in (np.array(PHOTOS[0], object), strings(PHOTOS)[None]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            model.calls["serving_default"](value)
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.calls["predict_pixels"](np.zeros((24, 24, 3), "float32"))


def test_rest_rows(model, expected):
    encoded = [{"b64": base64.b64encode(data).decode()} for data in PHOTOS]
    for instances in ([{"image_bytes": x} for x in encoded], encoded):
        status, answer = model.rest(json.dumps({"instances": instances}).encode())
        assert status == 200
        assert [row["valid"] for row in answer["predictions"]] == [True, False, True]
        for row, right in zip(answer["predictions"], expected["labels"], strict=True):
            assert row["labels"] == [label.decode() for label in right]
        rows = [row["probabilities"] for row in answer["predictions"]]
        np.testing.assert_allclose(rows, expected["probabilities"], atol=1e-6)
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"instances": [{"image_bytes": 3}]}',
        b'{"instances": [{"b64": "?"}]}',
        b'{"instances": [{"photos": {"b64": ""}}]}',
    ],
)
def test_bad_rest_requests(model, body):
    status, answer = model.rest(body)
    assert status == 400 and list(answer) == ["error"]


def test_saved_model_cli_shows_the_signatures(folder):
    command = shutil.which("saved_model_cli", path=str(pathlib.Path(sys.executable).parent))
    if command is None:
        pytest.skip("saved_model_cli is not installed")
    shown = subprocess.run(
        [command, "show", "--dir", folder, "--tag_set", "serve", "--signature_def",
         "serving_default"],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    words = " ".join(shown.split())
    assert "inputs['image_bytes'] tensor_info: dtype: DT_STRING shape: (-1)" in words
    assert "outputs['probabilities'] tensor_info: dtype: DT_FLOAT shape: (-1, 7)" in words
    assert "outputs['scores'] tensor_info: dtype: DT_FLOAT shape: (-1, 3)" in words
    assert "outputs['classes'] tensor_info: dtype: DT_INT32 shape: (-1, 3)" in words
    assert "outputs['labels'] tensor_info: dtype: DT_STRING shape: (-1, 3)" in words
    assert "outputs['valid'] tensor_info: dtype: DT_BOOL shape: (-1)" in words
    assert "Method name is: tensorflow/serving/predict" in words


@pytest.mark.slow
def test_a_load_of_good_and_bad_requests():
    """`python tests/support/serving_load.py` sends 5,000."""
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api")
    seen = serving_load.run(requests=300, clients=8)
    # so short a load still warms the server up: its memory says nothing
    assert serving_load.faults_of(seen | {"memory_mib": [0, 0]}, 300) == []
    assert min(seen["good"], seen["bad"]) > 100


def test_faults_of_a_load():
    seen = {"wrong": [], "alive": True, "answered": 9, "malformed": 1, "memory_mib": [700, 760]}
    assert serving_load.faults_of(seen, 10) == []
    for change, said in (
        ({"answered": 8}, "9 have ended"),
        ({"alive": False}, "server has ended"),
        ({"memory_mib": [700, 760, 780]}, "from 700 to 780 MiB"),
        ({"wrong": ["request 3: `valid` is wrong"]}, "request 3"),
    ):
        (fault,) = serving_load.faults_of(seen | change, 10)
        assert said in fault
