"""What a Keras model takes and gives, told from its layers: does it normalise, what ends it."""

import keras
import tensorflow as tf

from keras_regionvit.backbone import RegionViTBackbone
from keras_regionvit.checks.kinds import choice
from keras_regionvit.tasks.classification import NORM, POOL, build_classifier

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_NORMALISE = (keras.layers.Normalization, keras.layers.Rescaling)
# Keras' augmentation and resizing: pixels stay on the scale that they are on.
_KEEP_SCALE = (
    keras.layers.InputLayer,
    keras.layers.RandomFlip.__base__,
    keras.layers.Pipeline,
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
)
_SCORES = ("softmax", "sigmoid")


def normalizes(model):
    """Whether a model normalises images by itself, so that it takes pixels on 0..255.

    Args:
        model: a `keras.Model` of images.

    Returns:
        True where a `Normalization` or `Rescaling` comes before the first layer that learns, False
        where nothing does but what leaves the scale of pixels alone, such as a `RandomFlip`; and
        the name of the layer, a string, that may do either, such as a `Lambda`.

    Example:

    >>> normalizes(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255)]))
    True
    """
    unknown = None
    for operation in _first_operations(model):
        if isinstance(operation, _NORMALISE):
            return True
        if not isinstance(operation, _KEEP_SCALE):
            unknown = unknown or operation.name
    return unknown or False


def _first_operations(model):
    """The operations of a model before the first that learns, those of models in it included."""
    for operation in _operations(model):
        if isinstance(operation, _NORMALISE):
            yield operation  # whose mean and variance are weights that do not learn
        elif isinstance(operation, keras.Model) and operation.inputs:
            yield from _first_operations(operation)
            if any(_learns(inside) for inside in _operations(operation)):
                return
        elif _learns(operation):
            return
        else:
            yield operation


def _operations(model):
    """The layers and operations of a model, in the order in which they compute."""
    return getattr(model, "operations", model.layers)  # a Sequential has layers alone


def _learns(operation):
    """Whether an operation has weights that are no statistics."""
    return bool(getattr(operation, "weights", ())) and not isinstance(operation, _NORMALISE)


def check_classifier(model):
    """Checks that a Keras model takes one batch of images and gives scores of classes.

    Args:
        model: what was given.

    Returns:
        The model; of a sequential one the functional one that it is, which has one `input`.

    Raises:
        ValueError: it is no built Keras model, takes or gives several tensors, or does not end in
            a softmax, a sigmoid or the logits of a Dense layer.

    Example:

    >>> check_classifier(keras.applications.MobileNet(weights=None))
    """
    sides = [getattr(model, side, None) or () for side in ("inputs", "outputs")]
    if not isinstance(model, keras.Model) or not all(sides):
        raise ValueError(
            "`model` must be a built keras.Model, functional or sequential. "
            f"Received: {type(model).__name__}"
        )
    (takes, *more), (gives, *others) = ([tuple(x.shape) for x in side] for side in sides)
    if more or others or len(takes) != 4 or len(gives) != 2 or None in (takes[3], gives[1]):
        raise ValueError(
            "`model` must take one batch of images (batch, height, width, channels) and give "
            f"(batch, classes). Received: {model.name!r}, {takes} to {gives}"
            + " and more"
            * bool(more or others)
        )
    if gives[1] < 2:
        raise ValueError(
            f"`model` must give a score for each class, of which there are at least 2. Received: "
            f"{model.name!r}, (batch, {gives[1]}); end it in a Dense layer of 2 and softmax."
        )
    kind_of_scores(model)
    if not isinstance(model, keras.Sequential):
        return model
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def kind_of_scores(model):
    """What a classifier gives: "probabilities", of a softmax or a sigmoid, or "logits".

    Raises:
        ValueError: neither.
    """
    operation = _last_operation(model)
    activation = getattr(operation, "activation", None)
    name = getattr(activation, "__name__", type(operation).__name__).lower()
    if name in _SCORES:
        return "probabilities"
    if isinstance(operation, keras.layers.Dense) and name == "linear":
        return "logits"
    raise ValueError(
        "`model` must end in a softmax, a sigmoid, or a Dense layer whose logits a softmax makes "
        f"probabilities of. Received the last layer: {operation.name!r} of {model.name!r}"
    )


def _last_operation(model):
    """The operation that makes the output, but for those that pass it on as it is."""
    tensor = model.outputs[0]
    while True:
        history = tensor._keras_history
        operation = history.operation
        inner = isinstance(operation, keras.Model) and operation.outputs
        if inner:
            tensor = operation.outputs[0]
            continue
        linear = getattr(getattr(operation, "activation", None), "__name__", "") == "linear"
        passes = isinstance(operation, keras.layers.Activation) and linear
        if not passes and not isinstance(operation, (keras.layers.Identity, keras.layers.Dropout)):
            return operation
        (tensor,) = operation._inbound_nodes[history.node_index].input_tensors


def probabilities_of(model):
    """The function from images to probabilities.

    Args:
        model: a classifier, as `check_classifier` has it.

    Returns:
        A function of float32 images, as the model takes them, that gives float32 (B, K).

    Example:

    >>> probabilities_of(model)(images)
    """
    logits = kind_of_scores(model) == "logits"

    def probabilities(images):
        scores = tf.cast(model(images, training=False), tf.float32)
        return tf.nn.softmax(scores) if logits else scores

    return probabilities


def classifier_layers(model):
    """The layers of a classifier: `(those before the backbone, backbone, norm, pool, head)`.

    The head is a Dense layer of whatever name.

    Raises:
        ValueError: `model` is no classifier on a `RegionViTBackbone`.
    """
    layers = model.layers[1:]
    place = next((i for i, x in enumerate(layers) if isinstance(x, RegionViTBackbone)), None)
    after = [] if place is None else layers[place + 1 :]
    dense = bool(after) and isinstance(after[-1], keras.layers.Dense)
    if not dense or [layer.name for layer in after[:-1]] != [NORM, POOL]:
        names = ", ".join(layer.name for layer in layers[:9]) + ", ..." * (len(layers) > 9)
        raise ValueError(
            "`model` must be made by `build_classifier` or a function such as `RegionViTSmall`, or "
            "of its layers and one Dense, for features, another precision or any size. "
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
    choice("precision", precision, (None, *PRECISIONS))
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
