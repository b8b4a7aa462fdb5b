"""ImageNet-1K: the statistics of its pixels, images as its models expect them, its classes."""

import keras
import numpy as np

from keras_regionvit.checks.kinds import positive_integer, refuse, shown

# Of each channel over the training images, on 0..255, in the order red, green, blue.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
_NO_NUMBERS = "SUOcMm"  # kinds of arrays: text, objects, complex numbers, dates


def preprocess_input(x, data_format=None):
    """Normalises images as the official weights expect: 0..255 to ImageNet statistics.

    Args:
        x: images (..., H, W, 3), RGB on 0..255, an array, a tensor or a variable of any numeric
            dtype.
        data_format: `None` or "channels_last".

    Returns:
        The normalised images, floats of the same shape: of an array, an array; of all else a
        tensor of Keras' backend. It is new, `x` is left as it is.

    Raises:
        ValueError: `x` holds no numbers or has not three channels, or `data_format` is another.

    Example:

    >>> batch = keras_regionvit.preprocess_input(image[None])  # uint8 (224, 224, 3)
    """
    data_format = keras.config.image_data_format() if data_format is None else data_format
    if not isinstance(data_format, str) or data_format != "channels_last":
        refuse("data_format", "'channels_last'", data_format)
    x = _new_floats(x)
    if len(x.shape) < 3 or x.shape[-1] != 3:
        raise ValueError(
            f"`x` must have the shape (..., height, width, 3). Received: {shown(tuple(x.shape))}"
        )
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
        ValueError: `preds` is not of the shape (B, 1000), or `top` no positive integer up to 1000.

    Example:

    >>> keras_regionvit.decode_predictions(model.predict(batch), top=1)
    """
    top = positive_integer("top", top, most=1000)
    try:
        preds = np.asarray(keras.ops.convert_to_numpy(preds))
        numbers = preds.dtype.kind not in _NO_NUMBERS
    except Exception:  # of whatever kind the library that `preds` is of raises
        numbers = False
    if not numbers:
        refuse("preds", "an array or a tensor of the shape (samples, 1000)", preds)
    if preds.ndim != 2 or preds.shape[1] != 1000:
        raise ValueError(
            f"`preds` must have the shape (samples, 1000). Received: {shown(preds.shape)}"
        )
    return keras.applications.imagenet_utils.decode_predictions(preds, top)


def _new_floats(x):
    """A copy of `x` in floats: Keras' function works in place on arrays and torch's tensors."""
    floatx = keras.config.floatx()
    try:
        if isinstance(x, (np.ndarray, list, tuple)):
            x = np.asarray(x)
            if x.dtype.kind in _NO_NUMBERS:
                raise TypeError
            return np.array(x, dtype=floatx)
        symbolic = keras.backend.is_keras_tensor(x)
        x = x if symbolic else keras.ops.convert_to_tensor(x)
        dtype = keras.backend.standardize_dtype(x.dtype)
        if dtype == "string" or dtype.startswith("complex"):
            raise TypeError
        if not keras.backend.is_float_dtype(dtype):
            return keras.ops.cast(x, floatx)
        return x if symbolic else keras.ops.copy(x)
    except Exception:  # of whatever kind the library that `x` is of raises
        received = f"{type(x).__name__} {getattr(x, 'dtype', '')}".rstrip()
        raise ValueError(
            f"`x` must be an array or a tensor of numbers. Received: {received}"
        ) from None
