"""The eight models of the paper as functions, in the manner of `keras.applications`."""

import keras
import numpy as np

from keras_regionvit.backbone import IMAGE, RegionViTBackbone
from keras_regionvit.checks.kinds import checked, choice, positive_integer
from keras_regionvit.checks.models import check_activation, check_input_shape, check_name
from keras_regionvit.imagenet import MEAN, STD
from keras_regionvit.tasks.classification import POOL, build_classifier, model_of, normed_tokens
from keras_regionvit.variants import function_name, get_variant, paper_name
from keras_regionvit.weights.pretrained import check_weights, load_weights


def _model_function(variant):
    """The public function that builds a variant, with its name and docstring."""
    row = get_variant(variant)
    any_size = len(set(row.window_size)) == 1  # do its regions cover the map of any image?

    def construct(
        include_top=True,
        weights="imagenet" if any_size else None,
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
        checked(include_top=include_top, include_preprocessing=include_preprocessing)
        if input_shape is None and input_tensor is None:
            input_shape = (None, None, 3) if any_size and not include_top else (224, 224, 3)
        shape = check_input_shape(input_shape, input_tensor)
        classes = _checked_head(include_top, classes, classifier_activation, pooling)
        check_name(name)
        check_weights(
            weights,
            variant=variant,
            channels=shape[-1],
            classes=classes,
            activation=classifier_activation,
        )
        inputs = keras.Input(shape, name=IMAGE) if input_tensor is None else input_tensor
        inputs = _normalised(inputs) if include_preprocessing else inputs
        backbone = RegionViTBackbone.from_variant(
            variant,
            window_size=row.window_size if window_size is None else window_size,
            peg=peg,
            drop_path_rate=drop_path_rate,
            dropout_rate=dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
            input_shape=shape,
            dtype=dtype,
        )
        name = name or f"regionvit_{variant}"
        if include_top:
            model = build_classifier(backbone, classes, classifier_activation, inputs, name)
        else:
            model = _features(backbone, pooling, inputs, name)
        if weights is not None:
            load_weights(model, weights, variant)
        return model

    construct.__name__ = construct.__qualname__ = function_name(variant)
    construct.__doc__ = _docstring(variant, any_size)
    return construct


def _checked_head(include_top, classes, activation, pooling):
    """The number of classes, `None` without the top.

    Raises:
        ValueError: `classes`, `classifier_activation` or `pooling` is out of range.
    """
    choice("pooling", pooling, (None, "avg", "max"))
    if not include_top:
        return None
    check_activation(activation)
    return positive_integer("classes", classes)


def _normalised(image):
    """A Keras tensor of pixels on 0..255, normalised inside the model."""
    if image.shape[-1] != 3:
        raise ValueError(
            "`include_preprocessing=True` needs images of 3 channels. "
            f"Received: input_shape={tuple(image.shape[1:])}"
        )
    normalization = keras.layers.Normalization(
        mean=np.array(MEAN), variance=np.square(STD), dtype="float32", name="preprocessing"
    )
    return normalization(image)


def _features(backbone, pooling, inputs, name):
    """The model without the top: the normed map of tokens, or its mean or maximum."""
    x = normed_tokens(backbone, inputs)
    if pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D(name=POOL)(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D(name="max_pool")(x)
    return model_of(inputs, x, name)


def _docstring(variant, any_size):
    row = get_variant(variant)
    if any_size:
        default, sizes = "(None, None, 3)", "Any size works, also `None`."
    else:
        default = "(224, 224, 3)"
        sizes = "Up to 224 a side; beyond it use `window_size=14`."
    return _DOCSTRING.format(
        title=paper_name(variant),
        function=function_name(variant),
        parameters=row.paper and row.paper.parameters,
        window_size=row.window_size,
        default=default,
        sizes=sizes,
    )


_DOCSTRING = """{title}, {parameters} M parameters (paper, Tables 2 and 3).

    Args:
        include_top: bool, whether to add the classifier.
        weights: `None` (random), "imagenet" (the official file: downloaded, converted and
            cached under `KERAS_HOME`), or the path or URL of an official `.pth`, or the path
            of a `.weights.h5` or `.keras` file of this package. A URL may end in
            `#sha256=<hex>`. There are official ImageNet files for Tiny, Small, Medium and Base.
        input_tensor: optional Keras tensor to use as the image.
        input_shape: `(height, width, channels)` in pixels. `None` means (224, 224, 3) with the top
            and {default} without. {sizes}
        pooling: without the top, `None` returns the normed regional map (B, Hr, Wr, C), "avg"
            its mean (B, C), "max" its maximum.
        classes: int, number of classes; 1000 with pretrained weights and the top.
        classifier_activation: activation of the top, `None` for logits.
        name: optional str, name of the model.
        window_size: local tokens per region side, an int or one a stage; `None` means
            {window_size}. Pretrained weights are resized to it.
        peg: bool, whether to add position encoding generators (zero under pretrained weights).
        drop_path_rate: float in [0, 1), stochastic depth of the last encoder; it rises linearly
            from 0.
        dropout_rate: float in [0, 1), dropout after each projection.
        attention_dropout_rate: float in [0, 1), dropout of the attention weights.
        include_preprocessing: bool, whether the model itself normalises images of 0..255;
            otherwise use `preprocess_input`.
        dtype: dtype policy such as "mixed_bfloat16"; the head stays float32.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: an argument is out of range or does not fit another.

    Example:

    >>> model = keras_regionvit.{function}(weights=None)
    >>> model(keras_regionvit.preprocess_input(images))  # (B, 224, 224, 3) -> (B, 1000)
    """


RegionViTTiny = _model_function("tiny")
RegionViTSmall = _model_function("small")
RegionViTMedium = _model_function("medium")
RegionViTBase = _model_function("base")
RegionViTTinyPlus = _model_function("tiny_plus")
RegionViTSmallPlus = _model_function("small_plus")
RegionViTMediumPlus = _model_function("medium_plus")
RegionViTBasePlus = _model_function("base_plus")
