"""What arguments must be: one function a kind, which gives a plain Python value or one sentence.

Plain values, since a `.keras` file keeps arguments as JSON, which knows no NumPy.
"""

import functools
import math
import numbers
import reprlib

import numpy as np

LARGEST = 2**31 - 1  # TensorFlow counts sides of a tensor in 32 bits
LARGEST_WINDOW = 128  # the index of its position bias has 128^4 entries, 2 GiB
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80


def shown(value):
    """A value as an error prints it, on one line of bounded length.

    Example:

    >>> shown(list(range(99)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    return " ".join(_REPR.repr(value).split())


def refuse(name, wanted, value):
    """Raises the `ValueError` of an argument that is not what is wanted."""
    raise ValueError(f"`{name}` must be {wanted}. Received: {name}={shown(value)}")


def integer(value, most=LARGEST):
    """A positive integer, such as of NumPy's, as an int; `None` for all else, such as a bool."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if whole and 0 < value <= most else None


def positive_integer(name, value, most=LARGEST):
    """An int from 1 to `most`.

    Args:
        name: of the argument.
        value: what was given: an int or an integer of NumPy's, no bool.
        most: the largest that is allowed.

    Raises:
        ValueError: `value` is another.

    Example:

    >>> positive_integer("classes", np.int64(5))
    5
    """
    number = integer(value, most)
    if number is None:
        up_to = "" if most == LARGEST else f" up to {most}"
        refuse(name, f"a positive integer{up_to}", value)
    return number


def whole_number(name, value, most=2**32 - 1):
    """An int from 0 to `most`; arguments and errors as of `positive_integer`."""
    number = 0 if type(value) is int and value == 0 else integer(value, most)
    if number is None:
        refuse(name, f"an integer from 0 to {most}", value)
    return number


def power_of_two(name, value):
    """An int that is a power of two; arguments and errors as of `positive_integer`."""
    number = integer(value)
    if number is None or number & (number - 1):
        refuse(name, "a power of two", value)
    return number


def _number(value):
    """A finite float of a real number that is no bool; `None` for all else."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # of an int beyond 1e308
        return None
    return number if math.isfinite(number) else None


def positive_number(name, value):
    """A finite float above 0; arguments and errors as of `positive_integer`."""
    number = _number(value)
    if number is None or number <= 0:
        refuse(name, "a finite number above 0", value)
    return number


def amount(name, value):
    """A finite float that is not below 0; arguments and errors as of `positive_integer`."""
    number = _number(value)
    if number is None or number < 0:
        refuse(name, "a finite number, at least 0", value)
    return number


def rate(name, value):
    """A float in [0, 1), a probability of dropping; arguments and errors as of others here."""
    number = _number(value)
    if number is None or not 0 <= number < 1:
        refuse(name, "at least 0 and below 1", value)
    return number


def finite_numbers(value):
    """The finite floats of a sequence, a tuple; an empty one if it holds anything else."""
    numbers = tuple(_number(entry) for entry in entries_of(value) or ())
    return () if None in numbers else numbers


def rates(name, value):
    """A tuple of `rate`s, at least one; arguments and errors as of others here."""
    entries = entries_of(value)
    numbers = [_number(entry) for entry in entries or ()]
    if not numbers or any(number is None or not 0 <= number < 1 for number in numbers):
        refuse(name, "a sequence of numbers, each at least 0 and below 1", value)
    return tuple(numbers)


def flag(name, value):
    """A bool, of Python's or NumPy's; arguments and errors as of others here."""
    if not isinstance(value, (bool, np.bool_)):
        refuse(name, "True or False", value)
    return bool(value)


def choice(name, value, choices):
    """One of some strings, or `None` where it is among the choices; otherwise a `ValueError`.

    Example:

    >>> choice("stem", "conv3", ("conv1", "conv3"))
    'conv3'
    """
    if not (value is None or isinstance(value, str)) or value not in choices:
        *others, last = map(repr, choices)
        refuse(name, f"{', '.join(others)} or {last}", value)
    return value


def per_stage(name, value, stages=None, most=LARGEST):
    """Positive integers, one entry a stage.

    Args:
        name: of the argument.
        value: a sequence of ints; or where `stages` is known one for all.
        stages: int, how many there are; `None` for any number but 0.
        most: the largest entry that is allowed.

    Returns:
        A tuple of ints.

    Raises:
        ValueError: `value` is another.

    Example:

    >>> per_stage("window_size", 7, stages=4)
    (7, 7, 7, 7)
    """
    entries = entries_of(value)
    if entries is None and stages is not None:
        entries = (value,) * stages
    numbers = tuple(integer(entry, most) for entry in entries or ())
    if not numbers or None in numbers or len(numbers) != (stages or len(numbers)):
        up_to = "" if most == LARGEST else f" up to {most}"
        each = f"or have one for each of the {stages} stages" if stages else "for each stage"
        refuse(name, f"a positive integer{up_to} {each}", value)
    return numbers


def entries_of(value):
    """The entries of a sequence or an array, a tuple; `None` of all else, such as text."""
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__len__"):
        return None
    try:
        return tuple(value)
    except TypeError:  # an array of no axes has a length that cannot be asked for
        return None


def _kinds():
    """What the arguments of layers and of models are, by their names."""
    kinds = {
        positive_integer: "embed_dim num_heads image_channels region axes classes rank",
        power_of_two: "patch_size",
        positive_number: "mlp_ratio ratio",
        rate: "rate drop_path_rate dropout_rate attention_dropout_rate",
        rates: "drop_path_rates",
        flag: "qkv_bias peg pyramid_norm gradient_checkpointing regional_tokens weight_sharing "
        "overlap relative_position include_top include_preprocessing",
        functools.partial(positive_integer, most=LARGEST_WINDOW): "window_size",
        functools.partial(choice, choices=("own", "all")): "local_keys",
        functools.partial(choice, choices=("conv1", "conv3", "patch")): "stem",
        functools.partial(
            choice, choices=("depthwise", "dense3", "dense2", "patch_merging")
        ): "downsample",
        functools.partial(choice, choices=("relative", "none", "absolute", "both")): "position",
        functools.partial(choice, choices=("regional_to_local", "shifted_window")): "attention",
    }
    return {name: kind for kind, names in kinds.items() for name in names.split()}


_KINDS = _kinds()


def checked(**arguments):
    """Arguments that are of the kind that their names say, as plain values.

    Returns:
        A dict of plain values by name.

    Raises:
        ValueError: one is not of its kind.

    Example:

    >>> checked(embed_dim=np.int64(96), dropout_rate=0)
    {'embed_dim': 96, 'dropout_rate': 0.0}
    """
    return {name: _KINDS[name](name, value) for name, value in arguments.items()}


def keep_checked(layer, **arguments):
    """Makes arguments attributes of a layer, after `checked`."""
    for name, value in checked(**arguments).items():
        setattr(layer, name, value)
