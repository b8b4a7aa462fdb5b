"""Sections, overrides and records of recipes."""

import dataclasses
import json
import re

import pytest

from training.recipes import catalogue as recipes
from training.recipes.classification import Classification, ClassificationRecipe
from training.recipes.names import OLD_NAMES
from training.recipes.schema import Recipe
from training.recipes.section import Section
from training.recipes.sections import Data, Model, Schedule
from training.recipes.settings import LONGEST, Count


def imagenet():
    return recipes.load("imagenet1k").RECIPE


def test_the_rate_follows_the_batch():
    """5e-4 x batch / 512, as DeiT has it."""
    for batch in (64, 512, 1024):
        recipe = imagenet().with_overrides({"data.batch_size": str(batch)})
        assert recipe.peak_learning_rate == 5e-4 * batch / 512


@pytest.mark.parametrize(
    ("variant", "windows"),
    [("small", (12,) * 4), ("base_plus", (24, 24, 24, 12)), ("tiny_w14", (24,) * 4)],
)
def test_windows_at_384(variant, windows):
    recipe = recipes.load("finetune384").RECIPE.with_overrides({"model.variant": variant})
    assert recipe.windows == windows
    assert recipe.with_overrides({"model.window_size": "14,14,14,14"}).windows == (14,) * 4
    assert recipe.with_values({"data.image_size": 230}).windows != windows  # the variant's own


def test_overrides_are_typed():
    changed = imagenet().with_overrides({
        "schedule.epochs": "7", "schedule.warmup_epochs": "0.5", "optimizer.weight_decay": "1e-3",
        "compute.deterministic": "true", "model.window_size": "14,14,14,7", "data.mean": "1,2,3.5",
        "optimizer.decay": "kernels", "augment.repeats": "2", "model.peg": "1",
        "data.source": "csv", "data.eval_split": " test",
    })  # fmt: skip
    values = {
        "schedule.epochs": 7, "schedule.warmup_epochs": 0.5, "optimizer.weight_decay": 1e-3,
        "compute.deterministic": True, "model.window_size": (14, 14, 14, 7),
        "data.mean": (1.0, 2.0, 3.5), "optimizer.decay": "kernels", "augment.repeats": 2,
        "model.peg": True, "data.source": "csv", "data.eval_split": " test",
    }  # fmt: skip
    assert changed == imagenet().with_values(values)
    assert changed != imagenet()
    found = dict(changed.items())
    for key, value in values.items():
        assert found[key] == value and type(found[key]) is type(value), key


def test_changes_of_several_settings_are_judged_together():
    """A variant gives way to stages of one's own in one step, in any order."""
    values = {"model.embed_dims": (8, 16), "model.window_size": (2, 2), "model.depths": (1, 1),
              "model.variant": ""}  # fmt: skip
    for order in (list(values), list(reversed(values))):
        assert imagenet().with_values({key: values[key] for key in order}).windows == (2, 2)
    changed = imagenet().with_values({"schedule.epochs": 3, "schedule.warmup_epochs": 1})
    assert changed.schedule == Schedule(epochs=3, warmup_epochs=1)
    assert imagenet().with_values({}) == imagenet()


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("epoch", "3", "did you mean 'schedule.epochs'"),
        ("schedule.epoch", "3", "did you mean 'schedule.epochs'"),
        ("data.epochs", "3", "no setting 'data.epochs'; did you mean 'schedule.epochs'"),
        ("model.frame", "3", "did you mean 'model.border'"),
        ("optimiser.momentum", "3", "did you mean 'optimizer.momentum'"),
        ("nothing.like.it", "3", "--set: a recipe has no setting 'nothing.like.it'"),
        ("x" * 9999, "3", "xxx..."),
        ("model.variant", "x" * 9999, "xxx..."),
        ("schedule.epochs", "x" * 9999, "xxx..."),
        ("", "3", "no setting ''"),
        ("schedule", "3", "--set schedule is now --set schedule.every"),
        ("model", "3", "no setting 'model'"),
        ("task", "x", "no setting 'task'"),
        ("source", "x", "--set source needs its section: --set data.source"),
        ("min_learning_rate", "0", "needs its section: --set schedule.min_learning_rate"),
        ("showcase", "true", "needs its section: --set classification.showcase"),
        ("schedule.epochs", "3.5", "--set schedule.epochs must be a whole number, not '3.5'"),
        ("schedule.epochs", "0", "`schedule.epochs` must be a number of at least 1. Received: 0"),
        ("optimizer.learning_rate", "fast", "must be a number, not 'fast'"),
        ("optimizer.learning_rate", "nan", "`optimizer.learning_rate` must be a number"),
        ("optimizer.learning_rate", "inf", "`optimizer.learning_rate` must be a number of at"),
        ("optimizer.learning_rate", "0", "`optimizer.learning_rate` must be above 0"),
        ("compute.deterministic", "maybe", "true or false"),
        ("model.window_size", "7,x", "numbers with commas"),
        ("model.window_size", "7,7", "`model.window_size` must be 4 numbers"),
        ("model.variant", "huge", "`model.variant` must be one of tiny"),
        ("model.variant", "", "`model.embed_dims` must be channels a stage"),
        ("optimizer.name", "lamb", "`optimizer.name` must be one of adamw, sgd"),
        ("optimizer.accumulation", "3", "divisor of the batch of 4096"),
        ("schedule.warmup_epochs", "300", "below 300 epochs"),
        ("data.mean", "1,2", "3 numbers, one a channel"),
        ("data.channels", "1", "1 number, one a channel, since `data.channels` is 1: set mean and"),
        ("data.channels", "1", "such as --set data.mean=127.5 --set data.std=127.5"),
        ("data.mean", "1,2,nan", "`data.mean` must be"),
        ("data.std", "1,2,0", "`data.std` must be above 0"),
        ("data.channels", "2", "`data.channels` must be one of 1, 3"),
        ("augment.repeats", "5", "one of 1, 2, 3, 4"),
        ("optimizer.ema", "1", "below 1"),
        ("model.drop_path_rate", "-0.1", "between 0 and 1"),
        ("model.drop_path_rate", "1", "below 1"),
        ("evaluate.crop_ratio", "0", "above 0"),
        ("model.embed_dims", "32", "empty where `model.variant` is set"),
        ("classification.classes", "1", "`classification.classes` must be at least 2"),
    ],
)
def test_bad_overrides(key, text, said):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        imagenet().with_overrides({key: text})
    assert "\n" not in str(error.value) and len(str(error.value)) < 2 * LONGEST


@pytest.mark.parametrize("old", sorted(OLD_NAMES))
def test_flat_names_say_where_they_went(old):
    new = OLD_NAMES[old]
    assert new in dict(imagenet().items())
    with pytest.raises(ValueError, match=f"^--set {old} is now --set {re.escape(new)}$"):
        imagenet().with_overrides({old: "1"})


def test_every_flat_name_is_known(golden):
    written = json.loads((golden / "recipes_0_1_0.json").read_text("utf-8"))["recipes"]
    assert set(written["imagenet1k"]) - {"name"} == set(OLD_NAMES)
    assert len(set(OLD_NAMES.values())) == len(OLD_NAMES)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"schedule.epochs": "3"}, "`schedule.epochs` must be a whole number. Received: '3'"),
        ({"schedule.epochs": True}, "`schedule.epochs` must be a whole number. Received: True"),
        ({"schedule.epochs": 3.0}, "`schedule.epochs` must be a whole number. Received: 3.0"),
        ({"model.peg": 1}, "`model.peg` must be true or false. Received: 1"),
        ({"model.depths": [1, 1]}, "a tuple, each item a whole number. Received: [1, 1]"),
        ({"data.source": None}, "`data.source` must be a text. Received: None"),
        ({"epochs": 3}, "epochs is now schedule.epochs"),
        ({"schedule.epoch": 3}, "a recipe has no setting 'schedule.epoch'; did you mean"),
    ],
)
def test_bad_values(values, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        imagenet().with_values(values)


def test_sections_are_frozen_and_typed():
    recipe = imagenet()
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.schedule.epochs = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.name = "x"
    with pytest.raises(ValueError, match=r"`data` must be a Data. Received: 'folder'"):
        ClassificationRecipe("mine", "folder")
    with pytest.raises(ValueError, match=r"`model.border` must be a number of at least 0"):
        Model(border=-1)
    assert hash(recipe) == hash(recipe.with_values({"schedule.epochs": 300}))


def test_records():
    recipe = imagenet().with_values({"model.window_size": (14, 14, 14, 7), "data.source": "csv"})
    text = json.dumps(recipe.to_dict())
    again = Recipe.from_dict(json.loads(text))
    assert again == recipe and type(again) is ClassificationRecipe
    assert list(json.loads(text))[:3] == ["name", "task", "data"]
    assert json.loads(text)["task"] == "classification"
    plain = {
        f"{section}.{key}": tuple(value) if isinstance(value, list) else value
        for section, values in json.loads(text).items() if isinstance(values, dict)
        for key, value in values.items()
    }  # fmt: skip
    assert list(plain.items()) == list(recipe.items())
    lean = {"name": "mine", "task": "classification", "data": {"source": "folder"}}
    assert Recipe.from_dict(lean) == ClassificationRecipe("mine", Data("folder"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"data": None}, "it has no section 'data'"),
        ({"data": {}}, "Data lacks `source`"),
        ({"name": None}, "ClassificationRecipe lacks `name`"),
        ({"task": "dreaming"}, "it is of the unknown task 'dreaming'"),
        ({"task": "schema"}, "it is of the unknown task 'schema'"),
        ({"task": "../x"}, "it is of the unknown task '../x'"),
        ({"task": None}, "it is of the unknown task None"),
        ({"weather": {"rain": 1}}, "it has no section 'weather'"),
        ({"model": {"frame": 2}}, "no setting 'model.frame'; did you mean 'model.border'?"),
        ({"schedule": {"epochs": "3"}}, "`schedule.epochs` must be a whole number"),
        ({"model": {"depths": ["a"]}}, "`model.depths` must be a tuple"),
    ],
)
def test_records_of_other_versions(values, said):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        Recipe.from_dict({**imagenet().to_dict(), **values})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "mine", "data": "folder", "mood": 3}, "a recipe has no setting 'mood'"),
        ({"name": "mine"}, "ClassificationRecipe lacks `data`"),
        ({}, "ClassificationRecipe lacks `name`"),
        ([], "it is []"),
    ],
)
def test_flat_records_of_other_versions(values, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Recipe.from_dict(values)


def test_flat_records_that_lack_settings_have_their_defaults():
    recipe = Recipe.from_dict({"name": "mine", "data": "folder", "frame": 2, "floor_rate": 0.0})
    assert recipe == ClassificationRecipe(
        "mine", Data("folder"), Model(border=2), schedule=Schedule(min_learning_rate=0.0)
    )


@dataclasses.dataclass(frozen=True)
class Counting(Section):
    most: Count = 7
    kinds: tuple[str, ...] = ("apple",)


@dataclasses.dataclass(frozen=True)
class CountingRecipe(Recipe):
    task = "counting"

    counting: Counting = dataclasses.field(default_factory=Counting)


def test_a_task_adds_its_own_section():
    recipe = CountingRecipe("mine", Data("generated"), counting=Counting(3))
    assert dict(recipe.items())["counting.most"] == 3
    changed = recipe.with_overrides({"counting.most": "4", "counting.kinds": "pear,plum"})
    assert changed.counting == Counting(4, ("pear", "plum"))
    again = Recipe.from_dict(json.loads(json.dumps(changed.to_dict())))
    assert type(again) is CountingRecipe and again == changed
    with pytest.raises(ValueError, match=r"`counting.most` must be a number of at least 0"):
        recipe.with_values({"counting.most": -1})
    with pytest.raises(ValueError, match=r"--set most needs its section: --set counting.most"):
        recipe.with_overrides({"most": "3"})
    with pytest.raises(ValueError, match=r"^--set: a recipe has no setting 'classes'$"):
        recipe.with_overrides({"classes": "3"})  # of another task


def test_classes_of_several_labels():
    assert Classification(1, multi_label=True).classes == 1
