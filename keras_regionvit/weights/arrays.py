"""Numbers from elsewhere, made fit for a variable before the first one is assigned."""

import numpy as np


def floats(value, name, dtype=None):
    """Real, finite floating point numbers.

    Integers are refused: they are codes of a quantized model, or no weights at all.

    Args:
        value: what NumPy makes an array of.
        name: what it is, for the message.
        dtype: of the variable that it is for, a name; its own without.

    Returns:
        An array of `dtype`. Numbers in bfloat16 become float32 where no `dtype` is given, so that
        NumPy can calculate with them.

    Raises:
        ValueError: it is no array of real floating point numbers, or one is NaN or infinite in
            the file or as `dtype`.

    Example:

    >>> floats([0.5, 1e30], "head.bias", "float16")
    ValueError: head.bias has numbers that are not finite as float16
    """
    try:
        array = np.asarray(value)
    except Exception as error:  # of whatever kind an object that is no array raises
        raise ValueError(f"{name} is no array, but a {type(value).__name__}") from error
    half = array.dtype.name == "bfloat16"  # NumPy does not know it as a floating point number
    if array.dtype.kind != "f" and not half:
        raise ValueError(
            f"{name} has the dtype {str(array.dtype)[:50]}, not that of real floating point numbers"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        array = array.astype(dtype or ("float32" if half else array.dtype), copy=False)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has numbers that are not finite as {array.dtype.name}")
    return array
