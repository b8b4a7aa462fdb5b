"""What a served classifier answers: the functions behind a SavedModel's signatures.

B: images; S: their side; C: channels; K: classes; k: best classes returned.
"""

import keras
import tensorflow as tf

from keras_regionvit.backbone import RegionViTBackbone
from keras_regionvit.images.batch import evaluation_batch
from keras_regionvit.tasks.classification import HEAD, NORM, POOL, build_classifier

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def classification_signatures(model, preprocessing, labels=None, top_k=5):
    """The functions that classify.

    Args:
        model: a classifier that gives probabilities.
        preprocessing: a `Preprocessing`.
        labels: as for `best_classes`.
        top_k: k, at most K.

    Returns:
        A dict of traced `tf.function`s: "serving_default" of `image_bytes`, string (B,), and
        "predict_tensor" of `images`, float32 as the model takes them. Both give what
        `best_classes` does; that of bytes also `valid`, see `of_bytes`.

    Example:

    >>> serve = classification_signatures(model, Preprocessing(224))["serving_default"]
    >>> serve(tf.constant([data]))["classes"]
    """
    spec = tensor_spec(model)
    probabilities = _traced(lambda images: model(images, training=False), spec)
    answer = best_classes(probabilities, spec, labels, top_k)
    return {
        "serving_default": of_bytes(answer, preprocessing),
        "predict_tensor": _traced(answer, spec),
    }


def feature_signatures(model, preprocessing=None):
    """The functions that give features.

    Args:
        model: as `build_classifier` makes it, with preprocessing layers before the backbone or not.
        preprocessing: optional `Preprocessing`.

    Returns:
        A dict of traced `tf.function`s: "features_tensor" of `images` gives `embedding` (B,
        channels) and the pyramid levels, such as `P2` ... `P5`, all float32; with `preprocessing`
        also "features", which gives them of `image_bytes`, and `valid`.

    Raises:
        ValueError: `model` is no classifier on a `RegionViTBackbone`.

    Example:

    >>> feature_signatures(model)["features_tensor"](tf.zeros((1, 224, 224, 3)))["P5"].shape
    TensorShape([1, 7, 7, 768])
    """
    before, backbone, norm, pool, _ = classifier_layers(model)
    spec = tensor_spec(model)
    maps = keras.Model(
        backbone.input, {**backbone.output, **backbone.pyramid_outputs}, name="features"
    )

    def features(images):
        x = tf.ensure_shape(images, spec.shape)
        for layer in before:
            x = layer(x)
        found = maps(x, training=False)
        local = found.pop("local_tokens")  # what is classified where there are no regional ones
        found["embedding"] = pool(norm(found.pop("regional_tokens", local)))
        return {name: tf.cast(value, tf.float32) for name, value in found.items()}

    functions = {"features_tensor": _traced(features, spec)}
    if preprocessing is not None:
        functions["features"] = of_bytes(functions["features_tensor"], preprocessing)
    return functions


def tensor_signatures(model):
    """The function `images` -> `{"probabilities": ...}`, for other runtimes and own input.

    Returns:
        A dict with one traced `tf.function`, "serving_default".
    """

    def serve(images):
        return {"probabilities": tf.cast(model(images, training=False), tf.float32)}

    return {"serving_default": _traced(serve, tensor_spec(model))}


def best_classes(probabilities, spec, labels=None, top_k=5):
    """The function that names the best classes of images.

    Args:
        probabilities: function of float32 images that gives float32 (B, K).
        spec: the `tf.TensorSpec` of these images.
        labels: optional lookup table from class (int64) to name; without, classes are named by
            their numbers.
        top_k: k, at most K.

    Returns:
        A function of images that gives a dict of `probabilities` float32 (B, K), `scores` float32
        (B, k), `classes` int32 (B, k) and `labels` string (B, k), best first.

    Example:

    >>> best_classes(model, tensor_spec(model), top_k=1)(images)["classes"]
    """

    def answer(images):
        # Serving by a session does not look at the shape of what is fed
        whole = probabilities(tf.ensure_shape(images, spec.shape))
        scores, classes = tf.math.top_k(whole, top_k)
        names = tf.as_string(classes)
        if labels is not None:
            names = labels.lookup(tf.cast(classes, tf.int64))
        return {"probabilities": whole, "scores": scores, "classes": classes, "labels": names}

    return answer


def of_bytes(function, preprocessing):
    """The function of encoded images, from that of tensors.

    Args:
        function: of float32 images, gives a dict of tensors with a row for each.
        preprocessing: a `Preprocessing`.

    Returns:
        A traced `tf.function` of `image_bytes`, string (B,), that gives the dict and `valid` bool
        (B,): a row that is not valid, since its image cannot be read, is zeros and empty strings.

    Example:

    >>> of_bytes(lambda images: {"mean": tf.reduce_mean(images, (1, 2, 3))}, Preprocessing(224))
    """

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


def tensor_spec(model):
    """The specification of `images`: float32 (None, *what the model takes)."""
    return tf.TensorSpec((None, *model.input.shape[1:]), tf.float32, name="images")


def check_fit(model, preprocessing, top_k=5):
    """Checks that preprocessed images are what a model takes, and that it gives probabilities.

    Args:
        model: a `keras.Model`.
        preprocessing: a `Preprocessing`.
        top_k: how many classes will be asked for.

    Raises:
        ValueError: one of them does not fit.
    """
    shape, size = tuple(model.input.shape[1:]), preprocessing.size
    made = (size, size, preprocessing.channels)
    if any(side not in (None, given) for side, given in zip(shape, made, strict=True)):
        raise ValueError(
            f"`preprocessing` must make images {shape}, as the model takes them. Received: "
            f"{preprocessing}"
        )
    if not isinstance(top_k, int) or top_k < 1:
        raise ValueError(f"`top_k` must be a positive integer. Received: {top_k!r}")
    activation = getattr(model.layers[-1], "activation", None)
    if getattr(activation, "__name__", None) not in ("softmax", "sigmoid"):
        raise ValueError(
            "`model` must end in a softmax or a sigmoid, so that it gives probabilities. "
            f"Received the last layer: {model.layers[-1].name}"
        )


def classifier_layers(model):
    """The layers of a classifier: `(those before the backbone, backbone, norm, pool, head)`.

    Raises:
        ValueError: `model` is no classifier on a `RegionViTBackbone`.
    """
    layers = model.layers[1:]
    place = next((i for i, x in enumerate(layers) if isinstance(x, RegionViTBackbone)), None)
    if place is None or [x.name for x in layers[place + 1 :]] != [NORM, POOL, HEAD]:
        names = ", ".join(layer.name for layer in layers[:9]) + ", ..." * (len(layers) > 9)
        raise ValueError(
            "`model` must be made by `build_classifier` or a function such as `RegionViTSmall`. "
            f"Received the layers: {names}"
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
    before, backbone, _, _, head = classifier_layers(model)
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


def _traced(function, spec):
    function = tf.function(function, input_signature=[spec], autograph=False)
    function.get_concrete_function()
    return function
