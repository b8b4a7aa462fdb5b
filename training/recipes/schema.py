"""A recipe: every setting of a training, in typed and checked sections."""

import dataclasses
import importlib
import importlib.util
from typing import Any, ClassVar

from keras_regionvit.variants import get_variant
from training.recipes import settings
from training.recipes.names import OLD_NAMES, unknown
from training.recipes.section import hints
from training.recipes.sections import (
    Augment,
    Compute,
    Data,
    Evaluate,
    Model,
    Optimizer,
    Schedule,
)

OTHER_VERSION = "the recipe is of another version of this code"
_CLASSES: dict[str, type["Recipe"]] = {}  # by task


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training, in sections; each task has a subclass with a section more.

    A subclass is a frozen dataclass too, and names its `task`.

    Attributes:
        task: what is learnt, such as "classification".
        name: the recipe's name.
        data, model, augment, optimizer, schedule, evaluate, compute: the sections, see
            `training.recipes.sections`.

    Raises:
        ValueError: settings of several sections do not fit together.

    Example:

    >>> ClassificationRecipe("mine", Data("folder"), schedule=Schedule(epochs=100))
    """

    task: ClassVar[str]

    name: str
    data: Data
    model: Model = dataclasses.field(default_factory=Model)
    augment: Augment = dataclasses.field(default_factory=Augment)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
    compute: Compute = dataclasses.field(default_factory=Compute)

    def __init_subclass__(cls):
        super().__init_subclass__()
        if "task" in vars(cls):
            _CLASSES[cls.task] = cls

    def __post_init__(self):
        for name, kind in hints(type(self)).items():
            if not isinstance(getattr(self, name), kind):
                received = settings.shown(getattr(self, name))
                raise ValueError(f"`{name}` must be a {kind.__name__}. Received: {received}")
        if not self.name:
            raise ValueError("`name` must not be empty.")
        batch, parts = self.data.batch_size, self.optimizer.accumulation
        if batch % parts:
            raise ValueError(
                f"`optimizer.accumulation` must be a divisor of the batch of {batch}. "
                f"Received: {parts}"
            )

    @property
    def peak_learning_rate(self):
        """The highest learning rate, a float: it grows with the batch."""
        optimizer = self.optimizer
        return optimizer.learning_rate * self.data.batch_size / optimizer.base_batch_size

    @property
    def smoke_values(self):
        """What --smoke changes because of what the recipe says, values by dotted name."""
        return {}

    @property
    def windows(self):
        """Local tokens per region side, one entry a stage."""
        model, size = self.model, self.data.image_size
        if model.window_size or not model.variant:
            return model.window_size
        own = get_variant(model.variant).window_size
        whole = size % 32 == 0  # 7 tokens at 224 pixels: one for each 32 pixels
        return tuple(m * size // 224 for m in own) if whole else own

    def items(self):
        """All settings, a list of pairs of dotted name and value.

        >>> dict(recipe.items())["schedule.epochs"]
        300
        """
        return [
            (f"{section}.{key}", value)
            for section in _sections(type(self))
            for key, value in vars(getattr(self, section)).items()
        ]

    def with_values(self, values):
        """The recipe with some settings changed.

        Args:
            values: a dict of values by dotted name.

        Returns:
            A new recipe.

        Raises:
            ValueError: a name is unknown, or the result makes no sense.

        Example:

        >>> recipe.with_values({"schedule.epochs": 3, "model.depths": (1, 1)})
        """
        known = _annotations(type(self))
        changes: dict[str, dict[str, Any]] = {}
        for key, value in values.items():
            if key not in known:
                raise ValueError(unknown(key, list(known)))
            section, _, name = key.partition(".")
            changes.setdefault(section, {})[name] = value
        changed: dict[str, Any] = {
            section: dataclasses.replace(getattr(self, section), **new)
            for section, new in changes.items()
        }
        return dataclasses.replace(self, **changed)

    def with_overrides(self, texts):
        """The recipe with some settings changed, as `--set` gives them.

        A tiny variant switches instance repetition off, as the paper's Table A1 does, unless
        `augment.repeats` is among the texts.

        Args:
            texts: a dict of texts by dotted name.

        Returns:
            A new recipe.

        Raises:
            ValueError: a name is unknown, a text is not of the setting's type, or the result
                makes no sense.

        Example:

        >>> recipe.with_overrides({"schedule.epochs": "100", "model.window_size": "14,14,14,7"})
        """
        known = _annotations(type(self))
        values = {}
        for key, text in texts.items():
            if key not in known:
                raise ValueError(unknown(key, list(known), "--set "))
            values[key] = settings.parse(key, known[key], text)
        if values.get("model.variant", "").startswith("tiny") and self.augment.repeats > 1:
            values.setdefault("augment.repeats", 1)
        return self.with_values(values)

    def to_dict(self):
        """Plain data for JSON: `name`, `task`, and a dict a section."""
        plain = {"name": self.name, "task": self.task}
        return plain | {
            section: {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in vars(getattr(self, section)).items()
            }
            for section in _sections(type(self))
        }

    @staticmethod
    def from_dict(values):
        """The recipe that `to_dict` described, or that version 0.1.0 wrote without sections.

        Args:
            values: a dict of plain data; settings that it lacks have their defaults.

        Returns:
            A recipe of the class of its task.

        Raises:
            ValueError: the task is unknown, settings are unknown, or one without a default is
                missing.

        Example:

        >>> Recipe.from_dict(recipe.to_dict()) == recipe
        True
        """
        if not isinstance(values, dict):
            raise ValueError(f"{OTHER_VERSION}: it is {settings.shown(values)}.")
        if not any(isinstance(value, dict) for value in values.values()):
            values = _with_sections(values)
        values = dict(values)
        recipe_class = _class_of(values.pop("task", None))
        sections: dict[str, Any] = {"name": values.pop("name", None)}
        known = hints(recipe_class)
        for section, given in values.items():
            if section not in known or not isinstance(given, dict):
                raise ValueError(f"{OTHER_VERSION}: it has no section {settings.shown(section)}.")
            for key in given:
                if key not in hints(known[section]):
                    wrong = unknown(f"{section}.{key}", list(_annotations(recipe_class)))
                    raise ValueError(f"{OTHER_VERSION}: {wrong}")
            arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
            sections[section] = _filled(known[section], arguments)
        return _filled(recipe_class, sections)


def _sections(recipe_class):
    """The names of the sections."""
    return [name for name in hints(recipe_class) if name != "name"]


def _annotations(recipe_class):
    """The annotations of all settings, a dict by dotted name."""
    return {
        f"{section}.{key}": hint
        for section in _sections(recipe_class)
        for key, hint in hints(hints(recipe_class)[section]).items()
    }


def _class_of(task):
    """The recipe class of a task, which its package defines."""
    package = f"{__package__}.{task}"
    known = isinstance(task, str) and task.isidentifier()
    if known and task not in _CLASSES and importlib.util.find_spec(package):
        importlib.import_module(package)
    if not known or task not in _CLASSES:
        raise ValueError(f"{OTHER_VERSION}: it is of the unknown task {settings.shown(task)}.")
    return _CLASSES[task]


def _with_sections(flat):
    """The plain data of a recipe that version 0.1.0 wrote; it knew no task but classification."""
    values: dict[str, Any] = {"task": "classification", "name": flat.get("name")}
    for old, value in flat.items():
        if old != "name":
            if old not in OLD_NAMES:
                raise ValueError(f"{OTHER_VERSION}: a recipe has no setting {settings.shown(old)}.")
            section, _, key = OLD_NAMES[old].partition(".")
            values.setdefault(section, {})[key] = value
    # what this recipe shows at its end stood in its module
    values.setdefault("classification", {})["showcase"] = flat.get("name") == "quickstart"
    return values


def _filled(kind, arguments):
    """`kind(**arguments)`, with a sentence about arguments that are missing."""
    missing = [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and arguments.get(field.name) is None
    ]
    if missing:
        raise ValueError(f"{OTHER_VERSION}: {kind.__name__} lacks `{missing[0]}`.")
    return kind(**arguments)
