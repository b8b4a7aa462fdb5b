"""ImageNet-1K: the statistics of its pixels, images as its models expect them, its classes."""

import keras
import numpy as np

# Of each channel over the training images, on 0..255, in the order red, green, blue.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def preprocess_input(x, data_format=None):
    """Normalises images as the official weights expect: 0..255 to ImageNet statistics.

    Args:
        x: images (..., H, W, 3), RGB on 0..255, an array or a tensor of any numeric dtype.
        data_format: `None` or "channels_last".

    Returns:
        The normalised images, floats of the same shape; a new array, `x` is left as it is.

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
        preds: array or tensor (B, 1000), as the models give them.
        top: int, how many to return for each image.

    Returns:
        For each image a list of `(WordNet id, name, score)`, best first. The names are
        downloaded once by Keras.

    Raises:
        ValueError: `preds` is not of the shape (B, 1000).

    Example:

    >>> keras_regionvit.decode_predictions(model.predict(batch), top=1)
    """
    return keras.applications.imagenet_utils.decode_predictions(np.asarray(preds), top)
