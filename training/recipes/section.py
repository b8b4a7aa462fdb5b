"""What a section of a recipe is: settings that belong together, checked as they are made."""

import dataclasses
import typing

from training.recipes import settings


def hints(kind):
    """The annotations of a dataclass, a dict by the names of its fields."""
    known = typing.get_type_hints(kind, include_extras=True)
    return {field.name: known[field.name] for field in dataclasses.fields(kind)}


@dataclasses.dataclass(frozen=True)
class Section:
    """Settings that belong together, checked as soon as they are made.

    A section is a frozen dataclass and stands in a recipe under its class' name in lower case.

    Raises:
        ValueError: a setting is of another type, is out of range or does not fit another; the
            sentence names it, such as `schedule.epochs`.

    Example:

    >>> Schedule(epochs=30, warmup_epochs=0)
    """

    def __post_init__(self):
        for key, hint in hints(type(self)).items():
            settings.check(self.key(key), hint, getattr(self, key))
        self.check()

    def check(self):
        """Checks what annotations do not say; for sections to override."""

    @classmethod
    def key(cls, name):
        """The dotted name of a setting, such as "schedule.epochs"."""
        return f"{cls.__name__.lower()}.{name}"

    def require(self, condition, name, wanted):
        """Raises a `ValueError` that says what a setting must be, unless `condition` holds."""
        if not condition:
            received = settings.shown(getattr(self, name))
            raise ValueError(f"`{self.key(name)}` must be {wanted}. Received: {received}")
