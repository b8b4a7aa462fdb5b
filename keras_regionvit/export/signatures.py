"""What a served classifier answers: the functions behind a SavedModel's signatures.

B: pictures or images; S: side of an image; C: channels; K: classes; k: best classes returned.
"""

import keras
import tensorflow as tf

from keras_regionvit.backbone import RegionViTBackbone
from keras_regionvit.images.preprocessing import evaluation_batch
from keras_regionvit.tasks.classification import build_classifier

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def classifying(model, preprocessing, labels=None, top_k=5):
    """The functions that classify.

    Args:
        model: a classifier that gives probabilities.
        preprocessing: a `serving_input.Preprocessing`.
        labels: optional lookup table from class (int64) to name; the class in figures without.
        top_k: k, at most K.

    Returns:
        A dict of traced `tf.function`s: "serving_default" of `image_bytes`, string (B,), and
        "predict_tensor" of `images`, float32 as the model takes them. Both give a dict of
        `probabilities` float32 (B, K), `scores` float32 (B, k), `classes` int32 (B, k), `labels`
        string (B, k); of bytes also `valid` bool (B,), and a row that is not valid is zeros and
        empty strings.

    Example:

    >>> serve = classifying(model, Preprocessing(224))["serving_default"]
    >>> serve(tf.constant([data]))["classes"]
    """
    probabilities = _traced(lambda images: model(images, training=False), tensor_spec(model))

    def answer(images):
        # Serving by a session does not look at what is fed
        whole = probabilities(tf.ensure_shape(images, tensor_spec(model).shape))
        scores, classes = tf.math.top_k(whole, top_k)
        names = tf.as_string(classes)
        if labels is not None:
            names = labels.lookup(tf.cast(classes, tf.int64))
        return {"probabilities": whole, "scores": scores, "classes": classes, "labels": names}

    return {
        "serving_default": _of_bytes(answer, preprocessing),
        "predict_tensor": _traced(answer, tensor_spec(model)),
    }


def featuring(model, preprocessing=None):
    """The functions that give features.

    Args:
        model: as `build_classifier` makes it, with preprocessing layers before the backbone or not.
        preprocessing: optional `serving_input.Preprocessing`.

    Returns:
        A dict of traced `tf.function`s: "features_tensor" of `images` gives `embedding` (B,
        channels) and the pyramid levels, such as `P2` ... `P5`, all float32; with `preprocessing`
        also "features", which gives them of `image_bytes`, and `valid`.

    Raises:
        ValueError: `model` is no classifier on a `RegionViTBackbone`.

    Example:

    >>> featuring(model)["features_tensor"](tf.zeros((1, 224, 224, 3)))["P5"].shape
    TensorShape([1, 7, 7, 768])
    """
    before, backbone, norm, pool, _ = parts_of(model)
    maps = keras.Model(
        backbone.input, {**backbone.output, **backbone.pyramid_outputs}, name="features"
    )

    def features(images):
        x = tf.ensure_shape(images, tensor_spec(model).shape)
        for layer in before:
            x = layer(x)
        found = maps(x, training=False)
        local = found.pop("local_tokens")  # what is judged where there are no regional ones
        found["embedding"] = pool(norm(found.pop("regional_tokens", local)))
        return {name: tf.cast(value, tf.float32) for name, value in found.items()}

    functions = {"features_tensor": _traced(features, tensor_spec(model))}
    if preprocessing is not None:
        functions["features"] = _of_bytes(functions["features_tensor"], preprocessing)
    return functions


def plain(model):
    """The function `images` -> `{"probabilities": ...}`, for other runtimes and own input.

    Returns:
        A dict with one traced `tf.function`, "serving_default".
    """

    def serve(images):
        return {"probabilities": tf.cast(model(images, training=False), tf.float32)}

    return {"serving_default": _traced(serve, tensor_spec(model))}


def tensor_spec(model):
    """The specification of `images`: float32 (None, *what the model takes)."""
    return tf.TensorSpec((None, *model.input.shape[1:]), tf.float32, name="images")


def parts_of(model):
    """The layers of a classifier: `(those before the backbone, backbone, norm, pool, head)`.

    Raises:
        ValueError: `model` is no classifier on a `RegionViTBackbone`.
    """
    layers = model.layers[1:]
    place = next((i for i, x in enumerate(layers) if isinstance(x, RegionViTBackbone)), None)
    if place is None or [x.name for x in layers[place + 1 :]] != [
        "norm",
        "avg_pool",
        "predictions",
    ]:
        raise ValueError(
            "`model` must be made by `build_classifier` or a function such as `RegionViTSmall`. "
            f"Received the layers: {[layer.name for layer in layers]}"
        )
    return layers[:place], *layers[place:]


def rebuilt(model, precision=None, any_size=False):
    """The same classifier with the same weights, computing or taking images in another way.

    Args:
        model: as `build_classifier` makes it.
        precision: "float32" or "bfloat16" inside (weights and head stay float32); `None` for the
            model's own.
        any_size: whether to take images of any height and width.

    Returns:
        A `keras.Model`; `model` itself if nothing is to change.

    Raises:
        ValueError: `precision` is neither, or the model cannot be rebuilt or take any size.

    Example:

    >>> rebuilt(model, precision="bfloat16")
    """
    if precision is None and not any_size:
        return model
    if precision not in (None, *PRECISIONS):
        raise ValueError(f"`precision` must be 'float32' or 'bfloat16'. Received: {precision!r}")
    before, backbone, _, _, head = parts_of(model)
    changes: dict = {} if precision is None else {"dtype": PRECISIONS[precision]}
    shape = tuple(model.input.shape[1:])
    if any_size:
        shape = (None, None, shape[-1])
        changes["input_shape"] = (None, None, backbone.input.shape[-1])
    x = keras.Input(shape, name="images")
    for layer in before:
        x = type(layer).from_config(layer.get_config())(x)
    again = build_classifier(
        RegionViTBackbone.from_config({**backbone.get_config(), **changes}),
        classes=model.output.shape[-1],
        classifier_activation=head.activation,
        inputs=x,
        name=model.name,
    )
    again.set_weights(model.get_weights())
    return again


def _of_bytes(function, preprocessing):
    """The function of encoded pictures, from that of images."""

    def serve(image_bytes):
        # TensorFlow's convolutions fail without any image
        images, valid = evaluation_batch(image_bytes, preprocessing, at_least=1)
        answer = {}
        for name, value in function(images).items():
            value = value[: tf.size(valid)]
            mask = tf.reshape(valid, (-1, *(1 for _ in value.shape[1:])))
            answer[name] = tf.where(mask, value, tf.zeros_like(value))
        return {**answer, "valid": valid}

    return _traced(serve, tf.TensorSpec((None,), tf.string, name="image_bytes"))


def _traced(function, spec):
    function = tf.function(function, input_signature=[spec], autograph=False)
    function.get_concrete_function()
    return function
