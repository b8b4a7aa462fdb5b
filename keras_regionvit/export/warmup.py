"""Requests that TensorFlow Serving plays to a model before it answers others.

The file is a TFRecord of `PredictionLog` messages. They are put together from their parts here,
since the package that defines them (`tensorflow-serving-api`) is needed for nothing else; the
numbers are those of `tensorflow_serving/apis/prediction_log.proto`, `predict.proto`, `model.proto`.
"""

from pathlib import Path

import tensorflow as tf

WARMUP = Path("assets.extra", "tf_serving_warmup_requests")  # where TensorFlow Serving looks


def write_warmup(path, requests):
    """Writes a warm-up file.

    Args:
        path: the file.
        requests: pairs of a signature's name and its inputs, a dict of arrays by name.

    Example:

    >>> write_warmup("1" / WARMUP, [("predict_pixels", {"images": np.zeros((1, 224, 224, 3))})])
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            writer.write(prediction_log(signature, inputs))


def prediction_log(signature, inputs):
    """The bytes of a `PredictionLog` with a `PredictRequest`.

    Args:
        signature: name of the signature.
        inputs: dict of arrays by name.

    Returns:
        bytes.
    """
    request = _field(1, _field(3, signature.encode()))  # model_spec.signature_name
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))  # an entry of the map
    return _field(6, _field(1, request))  # predict_log.request


def _field(number, data):
    """A field of a message that holds bytes, text or another message."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value):
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
