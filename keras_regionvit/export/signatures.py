"""What a served classifier answers: the functions behind a SavedModel's signatures.

One rule for all, in the names: what ends in `_pixels` takes pixels on 0..255, resized, and
normalises them inside, in the model or before it; what ends in `_tensor` takes what the Keras model
itself does.

B: images; S: their side; C: channels; K: classes; k: best classes returned.
"""

import keras
import tensorflow as tf

from keras_regionvit.checks.kinds import positive_integer, refuse
from keras_regionvit.export.structure import check_classifier, classifier_layers, probabilities_of
from keras_regionvit.images.batch import evaluation_batch
from keras_regionvit.images.preprocessing import Preprocessing, normalize


def classification_signatures(model, preprocessing, labels=None, top_k=5):
    """The functions that classify.

    Args:
        model: a classifier that gives probabilities.
        preprocessing: a `Preprocessing`.
        labels: as for `best_classes`.
        top_k: k, at most K.

    Returns:
        A dict of traced `tf.function`s: "serving_default" of `image_bytes`, string (B,),
        "predict_pixels" of `images`, float32 on 0..255, and "predict_tensor" of `images` as the
        Keras model takes them. All give what `best_classes` does, and `valid`, see `of_bytes` and
        `of_images`.

    Example:

    >>> serve = classification_signatures(model, Preprocessing(224))["serving_default"]
    >>> serve(tf.constant([data]))["classes"]
    """
    spec = tensor_spec(model)
    probabilities = _traced(probabilities_of(model), spec)
    answer = best_classes(probabilities, spec, labels, top_k)
    return {
        "serving_default": of_bytes(answer, preprocessing),
        "predict_pixels": of_images(answer, spec, preprocessing),
        "predict_tensor": of_images(answer, spec),
    }


def feature_signatures(model, preprocessing=None):
    """The functions that give features.

    Args:
        model: as `build_classifier` makes it, with preprocessing layers before the backbone or not.
        preprocessing: optional `Preprocessing`.

    Returns:
        A dict of traced `tf.function`s: "features" of `image_bytes` and "features_pixels" of
        `images` on 0..255 give `embedding` (B, channels) and the pyramid levels, such as `P2` ...
        `P5`, all float32, and `valid`; so does "features_tensor" of `images` as the Keras model
        takes them. Without `preprocessing` there is the last alone, without `valid`.

    Raises:
        ValueError: `model` is no classifier on a `RegionViTBackbone`.

    Example:

    >>> signatures = feature_signatures(model, Preprocessing(224))
    >>> signatures["features_pixels"](tf.zeros((1, 224, 224, 3)))["P5"].shape
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

    traced = _traced(features, spec)
    if preprocessing is None:
        return {"features_tensor": traced}
    return {
        "features": of_bytes(traced, preprocessing),
        "features_pixels": of_images(traced, spec, preprocessing),
        "features_tensor": of_images(traced, spec),
    }


def tensor_signatures(model, preprocessing=None):
    """The function `images` -> `{"probabilities": ...}`, for other runtimes and own input.

    Args:
        model: a classifier.
        preprocessing: optional `Preprocessing`. With it `images` are pixels on 0..255; without,
            they are as the Keras model takes them.

    Returns:
        A dict with one traced `tf.function`, "serving_default". The row of an image that is not
        finite is NaN.
    """
    probabilities = probabilities_of(model)

    def serve(images):
        if preprocessing is not None:
            images = normalize(images, preprocessing.mean, preprocessing.std)
        return {"probabilities": probabilities(images)}

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
        return _masked(function(images), valid)

    return _traced(serve, tf.TensorSpec((None,), tf.string, name="image_bytes"))


def of_images(function, spec, preprocessing=None):
    """The function of pixels on 0..255 or of what the model takes, from that of the latter.

    Args:
        function: of float32 images, gives a dict of tensors with a row for each.
        spec: the `tf.TensorSpec` of these images.
        preprocessing: optional `Preprocessing`, of which the statistics are used. With it `images`
            are pixels; without, they are as `function` takes them.

    Returns:
        A traced `tf.function` of `images`, that gives the dict and `valid` bool (B,): a row that is
        not valid, since a number of its image or of its answer is NaN or infinite, is zeros and
        empty strings. It changes nothing for the others.

    Example:

    >>> of_images(lambda images: {"x": images}, tensor_spec(model), Preprocessing(224))
    """

    def serve(images):
        images = tf.ensure_shape(images, spec.shape)
        taken = images
        if preprocessing is not None:
            taken = normalize(images, preprocessing.mean, preprocessing.std)
        answer = function(taken)
        floats = [images, *(value for value in answer.values() if value.dtype.is_floating)]
        finite = [tf.math.reduce_all(tf.math.is_finite(x), range(1, len(x.shape))) for x in floats]
        return _masked(answer, tf.math.reduce_all(tf.stack(finite), axis=0))

    return _traced(serve, spec)


def _masked(answer, valid):
    """An answer whose rows that are not valid are zeros and empty, with `valid`."""
    masked = {}
    for name, value in answer.items():
        value = value[: tf.size(valid)]
        mask = tf.reshape(valid, (-1, *(1 for _ in value.shape[1:])))
        masked[name] = tf.where(mask, value, tf.zeros_like(value))
    return {**masked, "valid": valid}


def tensor_spec(model):
    """The specification of `images`: float32 (None, *what the model takes)."""
    return tf.TensorSpec((None, *model.input.shape[1:]), tf.float32, name="images")


def check_fit(model, preprocessing, top_k=5):
    """Checks that preprocessed images are what a model takes, and that it gives scores of classes.

    Args:
        model: a `keras.Model`.
        preprocessing: a `Preprocessing`.
        top_k: how many classes will be asked for.

    Raises:
        ValueError: one of them does not fit.
    """
    check_classifier(model)
    if not isinstance(preprocessing, Preprocessing):
        refuse("preprocessing", "a `Preprocessing`", preprocessing)
    positive_integer("top_k", top_k)
    shape, size = tuple(model.input.shape[1:]), preprocessing.size
    made = (size, size, preprocessing.channels)
    if any(side not in (None, given) for side, given in zip(shape, made, strict=True)):
        raise ValueError(
            f"`preprocessing` must make images {shape}, as the model takes them. Received: "
            f"{preprocessing}"
        )


def _traced(function, spec):
    function = tf.function(function, input_signature=[spec], autograph=False)
    function.get_concrete_function()
    return function
