"""A load on the served model: clients that also send what is bad, over gRPC on loopback.

tests/support/serving_load.py --requests 5000 --clients 8 prints what was seen and fails if any
answer is not as specified or missing, or if the server's memory grows. The server runs in a process
of its own, so that its memory is its own.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))


def resident(process):
    """MiB of memory that a process holds."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def run(requests, clients):
    """Sends the requests; returns a dict of what was seen, with `wrong`, a list of sentences."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch, "1")
        export(folder)
        return load(folder, requests, clients)


def load(folder, requests, clients):
    """`run` on a model that is exported already."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    from tests.support.photos import BAD, KINDS
    from tests.support.served_model import MALFORMED

    good = list(KINDS.values())
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    right = {k: v.numpy() for k, v in serve(image_bytes=tf.constant(good)).items()}
    bad, malformed = list(BAD.values()), list(MALFORMED.values())
    script = pathlib.Path(__file__).with_name("serving_server.py")
    server = subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    port = int(server.stdout.readline())
    counts = dict.fromkeys(("answered", "good", "bad", "malformed"), 0)
    wrong, memory, latencies = [], [], []
    lock, numbers = threading.Lock(), iter(range(requests))

    def request(inputs, signature):
        message = predict_pb2.PredictRequest()
        message.model_spec.name, message.model_spec.signature_name = "served", signature
        for name, value in inputs.items():
            message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return message

    def judge(number, stub):
        rng = np.random.default_rng(number)
        if number % 7 == 3:
            inputs, signature = malformed[number // 7 % len(malformed)]
            try:
                stub.Predict(request(inputs, signature), timeout=120)
                return "malformed", ["a malformed request was answered"]
            except grpc.RpcError as error:
                fine = error.code() == grpc.StatusCode.INVALID_ARGUMENT
                return "malformed", [] if fine else [f"a malformed request gave {error.code()}"]
        chosen = rng.integers(0, len(good), size=rng.integers(1, 5))
        photos, is_good = [good[i] for i in chosen], [True] * len(chosen)
        for _ in range(rng.integers(0, 3)):
            place = rng.integers(0, len(photos) + 1)
            photos.insert(place, bad[rng.integers(0, len(bad))])
            is_good.insert(place, False)
        reply = stub.Predict(request({"image_bytes": photos}, "serving_default"), timeout=120)
        answer = {name: tf.make_ndarray(value) for name, value in reply.outputs.items()}
        is_good, said = np.array(is_good), []
        if answer["valid"].tolist() != is_good.tolist():
            said.append("`valid` is wrong")
        for name, value in right.items():
            rows = answer[name]
            if value.dtype.kind == "f":
                same = np.allclose(rows[is_good], value[chosen], rtol=0, atol=1e-5)
            else:
                same = np.array_equal(rows[is_good], value[chosen])
            empty = b"" if value.dtype == object else 0
            if not same or np.any(rows[~is_good] != empty):
                said.append(f"{name} is wrong")
        with lock:
            counts["good"] += int(is_good.sum())
            counts["bad"] += int((~is_good).sum())
        return "answered", said

    def client():
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                begun = time.perf_counter()
                try:
                    kind, said = judge(number, stub)
                except grpc.RpcError as error:
                    kind, said = "answered", [f"a request failed: {error.code()}"]
                with lock:
                    counts[kind] += 1
                    latencies.append(time.perf_counter() - begun)
                    wrong.extend(f"request {number}: {x}" for x in said)
                    if len(latencies) % max(requests // 10, 1) == 0:
                        memory.append(resident(server.pid))

    begun = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, alive = time.monotonic() - begun, server.poll() is None
    server.communicate()
    return {
        **counts,
        "wrong": wrong,
        "alive": alive,
        "memory_mib": [round(x) for x in memory],
        "requests_per_second": round(requests / seconds, 1),
        "median_ms": round(1000 * float(np.median(latencies))),
        "p99_ms": round(1000 * float(np.quantile(latencies, 0.99))),
    }


def faults_of(seen, requests):
    """What is not as it should be in the result of `run`, sentences."""
    faults = list(seen["wrong"])
    if not seen["alive"]:
        faults.append("the server has ended")
    ended = seen["answered"] + seen["malformed"]
    if ended != requests:
        faults.append(f"{requests} requests were to be sent, {ended} have ended")
    memory = seen["memory_mib"] or [0]
    first, last = memory[0], memory[-1]
    if last - first > max(50, first / 10):
        faults.append(f"memory has grown from {first} to {last} MiB")
    return faults


def export(folder):
    """Exports the small model of the tests."""
    from keras_regionvit.export import Preprocessing, export_saved_model
    from tests.support import served_model

    export_saved_model(
        served_model.build(), folder, served_model.LABELS,
        preprocessing=Preprocessing(served_model.SIZE), top_k=3,
    )  # fmt: skip


def main():
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    seen = run(options.requests, options.clients)
    for name, value in seen.items():
        print(f"{name:20} {value}")
    faults = faults_of(seen, options.requests)
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
