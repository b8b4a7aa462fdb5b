"""The types of settings: what a value may be, and how `--set` writes it.

A setting's annotation says all of it: `int`, `float`, `bool`, `str`, a tuple of one of these, a
`Literal` of the choices, or one of the ranges below.
"""

import math
import typing
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

LONGEST = 200  # characters of a value that a message shows
LARGEST = 2**53  # of a number: from here on floats miss some whole ones


class Range(NamedTuple):
    """What a number must be besides its type: a test, and the words for it."""

    holds: Callable[[Any], bool]
    wanted: str


def at_least(least):
    """The `Range` of finite numbers from `least` on."""
    return Range(lambda value: least <= value < math.inf, f"a number of at least {least}")


Count = Annotated[int, at_least(0)]
Size = Annotated[int, at_least(1)]
Amount = Annotated[float, at_least(0)]
Share = Annotated[float, Range(lambda value: 0 <= value <= 1, "between 0 and 1")]

NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def check(key, hint, value):
    """Checks a value against the annotation of its setting.

    Args:
        key: dotted name of the setting, for the message.
        hint: its annotation.
        value: the value.

    Raises:
        ValueError: the value is of another type, or out of range.

    Example:

    >>> check("schedule.epochs", Size, 0)
    ValueError: `schedule.epochs` must be a number of at least 1. Received: 0
    """
    kind, ranges = _resolve(hint)
    for holds, wanted in [Range(lambda x: _is_of(kind, x), _name(kind)), *ranges]:
        if not holds(value):
            raise ValueError(f"`{key}` must be {wanted}. Received: {shown(value)}")


def parse(key, hint, text):
    """The value that a text means.

    Args:
        key: dotted name of the setting, for the message.
        hint: its annotation.
        text: as `--set` gives it, such as "100", "true" or "14,14,14,7".

    Returns:
        A value of the setting's type, perhaps out of range.

    Raises:
        ValueError: the text is not of the setting's type.

    Example:

    >>> parse("model.window_size", tuple[int, ...], "14,14,14,7")
    (14, 14, 14, 7)
    """
    kind, _ = _resolve(hint)
    item = _item(kind)
    try:
        if item is not None:
            parts = text.strip("()[] ").split(",")
            return tuple(item(part) for part in parts if part.strip())
        return BOOLEANS[text.strip().lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        wanted = NAMES[kind] if item is None else "numbers with commas between"
        raise ValueError(f"--set {key} must be {wanted}, not {shown(text)}") from None


def shown(value):
    """A value for a message, of bounded length.

    >>> shown("x" * 1000) == repr("x" * 1000)[:LONGEST] + "..."
    True
    """
    try:
        text = repr(value)
    except RecursionError:  # lists in lists, in a record from elsewhere
        text = type(value).__name__
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def _resolve(hint):
    """The type that an annotation stands for, and the list of its ranges."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Annotated:
        return arguments[0], list(arguments[1:])
    if typing.get_origin(hint) is typing.Literal:
        wanted = f"one of {', '.join(map(str, arguments))}"
        return type(arguments[0]), [Range(lambda value: value in arguments, wanted)]
    return hint, []


def _item(kind):
    """The type of a tuple's items, `None` for anything but a tuple."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None


def _is_of(kind, value):
    item = _item(kind)
    if item is not None:
        finite = isinstance(value, tuple) and math.inf not in value
        return finite and all(_is_of(item, x) for x in value)
    if isinstance(value, bool) or kind is not float:
        return type(value) is kind and (kind is not int or abs(value) < LARGEST)
    return isinstance(value, float | int) and (value == math.inf or abs(value) < LARGEST)


def _name(kind):
    item = _item(kind)
    return NAMES[kind] if item is None else f"a tuple, each item {NAMES[item]}"
