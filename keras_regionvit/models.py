"""The eight models of the paper as functions, in the manner of `keras.applications`."""

import keras
import numpy as np

from keras_regionvit.backbone import RegionViTBackbone
from keras_regionvit.checks import check_input_shape
from keras_regionvit.tasks.classification import build_classifier, model_of, normed_tokens
from keras_regionvit.variants import get_variant
from keras_regionvit.weights.pretrained import check_weights, load_weights

# ImageNet statistics on 0..1, in the order R, G, B.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def preprocess_input(x, data_format=None):
    """Normalises images as the official weights expect: 0..255 to ImageNet statistics.

    Args:
        x: images (..., H, W, 3), RGB on 0..255, an array or a tensor of any numeric dtype.
        data_format: `None` or "channels_last".

    Returns:
        The normalised images, floats; a new array, `x` is left as it is.

    Raises:
        ValueError: `x` has not three channels, or `data_format` is "channels_first".

    Example:

    >>> batch = keras_regionvit.preprocess_input(image[None])  # uint8 (224, 224, 3)
    """
    data_format = data_format or keras.config.image_data_format()
    if data_format != "channels_last":
        raise ValueError(f"`data_format` must be 'channels_last'. Received: {data_format!r}")
    shape = np.shape(x) if isinstance(x, (list, tuple)) else x.shape
    if len(shape) < 3 or shape[-1] != 3:
        raise ValueError(f"`x` must have the shape (..., height, width, 3). Received: {shape}")
    if isinstance(x, (np.ndarray, list, tuple)):
        x = np.array(x, dtype=keras.config.floatx())  # a copy: Keras' function works in place
    return keras.applications.imagenet_utils.preprocess_input(x, data_format, mode="torch")


def decode_predictions(preds, top=5):
    """The `top` classes of ImageNet-1K predictions.

    Args:
        preds: (B, 1000), as the models give them.
        top: how many to return for each image.

    Returns:
        For each image a list of `(WordNet id, name, score)`, best first. The names are
        downloaded once by Keras.

    Raises:
        ValueError: `preds` is not of the shape (B, 1000).

    Example:

    >>> keras_regionvit.decode_predictions(model.predict(batch), top=1)
    """
    return keras.applications.imagenet_utils.decode_predictions(np.asarray(preds), top)


def _build(
    variant,
    default_name,
    *,
    include_top,
    weights,
    input_tensor,
    input_shape,
    pooling,
    classes,
    classifier_activation,
    name,
    window_size,
    include_preprocessing,
    **backbone_arguments,
):
    """The function behind all eight names."""
    windows = get_variant(variant).window_size if window_size is None else window_size
    if input_shape is None and input_tensor is None:
        any_size = not include_top and len(set(get_variant(variant).window_size)) == 1
        input_shape = (None, None, 3) if any_size else (224, 224, 3)
    input_shape = check_input_shape(input_shape, input_tensor)
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"`pooling` must be None, 'avg' or 'max'. Received: pooling={pooling!r}")
    if include_top and not (isinstance(classes, int) and classes > 0):
        raise ValueError(f"`classes` must be a positive integer. Received: classes={classes}")
    check_weights(
        weights,
        variant=variant,
        channels=input_shape[-1],
        classes=classes if include_top else None,
        activation=classifier_activation,
    )
    image = keras.Input(input_shape, name="image") if input_tensor is None else input_tensor
    x = image
    if include_preprocessing:
        if input_shape[-1] != 3:
            raise ValueError(
                "`include_preprocessing=True` needs images of 3 channels. "
                f"Received: input_shape={input_shape}"
            )
        mean, variance = 255 * np.array(MEAN), (255 * np.array(STD)) ** 2
        x = keras.layers.Normalization(
            mean=mean, variance=variance, dtype="float32", name="preprocessing"
        )(x)
    backbone = RegionViTBackbone.from_variant(
        variant,
        window_size=windows,
        input_shape=input_shape,
        **backbone_arguments,
    )
    name = name or default_name
    if include_top:
        model = build_classifier(backbone, classes, classifier_activation, inputs=x, name=name)
    else:
        x = normed_tokens(backbone, x)
        if pooling == "avg":
            x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        elif pooling == "max":
            x = keras.layers.GlobalMaxPooling2D(name="max_pool")(x)
        model = model_of(image, x, name)
    if weights is not None:
        load_weights(model, weights, variant)
    return model


_DOC = """RegionViT-{title}, {parameters} M parameters (paper, Tables 2 and 3).

    Args:
        include_top: whether to add the classifier.
        weights: `None` (random), "imagenet" (the official file: downloaded, converted and
            cached under `KERAS_HOME`), or the path or URL of an official `.pth`, or the path
            of a `.weights.h5` or `.keras` file of this package. A URL may end in
            `#sha256=<hex>`. There are official ImageNet files for Tiny, Small, Medium and Base.
        input_tensor: optional Keras tensor to use as the image.
        input_shape: `(height, width, channels)`. `None` means (224, 224, 3) with the top and
            {any_size} without. {sizes}
        pooling: without the top, `None` returns the normed regional map (B, Hr, Wr, C), "avg"
            its mean (B, C), "max" its maximum.
        classes: number of classes; 1000 with pretrained weights and the top.
        classifier_activation: activation of the top, `None` for logits.
        name: name of the model.
        window_size: local tokens per region side, an int or one a stage; `None` means
            {window_size}. Pretrained weights are resized to it.
        peg: whether to add position encoding generators (zero under pretrained weights).
        drop_path_rate: stochastic depth of the last encoder; it rises linearly from 0.
        dropout_rate: dropout after each projection.
        attention_dropout_rate: dropout of the attention weights.
        include_preprocessing: whether the model itself normalises images of 0..255; otherwise
            use `preprocess_input`.
        dtype: dtype policy such as "mixed_bfloat16"; the head stays float32.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: an argument is out of range or does not fit another.

    Example:

    >>> model = keras_regionvit.RegionViT{function}(weights=None)
    >>> model(keras_regionvit.preprocess_input(images))  # (B, 224, 224, 3) -> (B, 1000)
    """


def _constructor(variant, function):
    row = get_variant(variant)
    equal = len(set(row.window_size)) == 1
    default_weights = "imagenet" if equal else None
    title = {"Tiny": "Ti", "Small": "S", "Medium": "M", "Base": "B"}[function.removesuffix("Plus")]

    def construct(
        include_top=True,
        weights=default_weights,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        name=None,
        *,
        window_size=None,
        peg=False,
        drop_path_rate=0.0,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
        include_preprocessing=False,
        dtype=None,
    ):
        return _build(
            variant,
            f"regionvit_{variant}",
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
            window_size=window_size,
            include_preprocessing=include_preprocessing,
            peg=peg,
            drop_path_rate=drop_path_rate,
            dropout_rate=dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
            dtype=dtype,
        )

    construct.__name__ = construct.__qualname__ = f"RegionViT{function}"
    construct.__doc__ = _DOC.format(
        title=title + ("" if equal else "+"),
        function=function,
        parameters=row.paper.parameters if row.paper else None,
        window_size=row.window_size,
        any_size="(None, None, 3)" if equal else "(224, 224, 3)",
        sizes="Any size works, also `None`."
        if equal
        else "Up to 224 a side; beyond it use `window_size=14`.",
    )
    return construct


RegionViTTiny = _constructor("tiny", "Tiny")
RegionViTSmall = _constructor("small", "Small")
RegionViTMedium = _constructor("medium", "Medium")
RegionViTBase = _constructor("base", "Base")
RegionViTTinyPlus = _constructor("tiny_plus", "TinyPlus")
RegionViTSmallPlus = _constructor("small_plus", "SmallPlus")
RegionViTMediumPlus = _constructor("medium_plus", "MediumPlus")
RegionViTBasePlus = _constructor("base_plus", "BasePlus")
