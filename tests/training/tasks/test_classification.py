"""Classification as a task: which data fit a recipe."""

import dataclasses

import pytest

from training.data.sources.generated import generated_source
from training.recipes import catalogue
from training.tasks import open_task


def opened(monkeypatch, multi_label, several):
    """A task and the images that it is given: of several classes each, or of one."""
    recipe = catalogue.smoke("imagenet1k")
    task = open_task(recipe.with_values({"classification.multi_label": multi_label}))
    source = generated_source(4, 8, size=8)
    source = dataclasses.replace(source, info={**source.info, "multi_label": several})
    monkeypatch.setattr("training.tasks.classification.open_source", lambda *_, **__: source)
    return task


def test_images_of_several_classes_where_the_recipe_has_one(monkeypatch):
    """As ImageNet ReaL has them: to evaluate, not to learn from."""
    task = opened(monkeypatch, multi_label=False, several=True)
    assert task.open_others("validation").count == 8
    with pytest.raises(ValueError, match=r"`classification\.multi_label` must be True .*: False"):
        task.open_split("validation")


def test_images_of_one_class_where_the_recipe_has_several(monkeypatch):
    task = opened(monkeypatch, multi_label=True, several=False)
    for open_part in (task.open_split, task.open_others):
        with pytest.raises(ValueError, match=r"`classification\.multi_label` must be False"):
            open_part("validation")


def test_what_a_recipe_implies_without_data():
    """For sizes to be told: as many classes as the recipe says, else 1,000."""
    recipe = catalogue.load("folder").RECIPE
    assert open_task(recipe).describe(open_task(recipe).assumed_info()) == "1000 classes"
    task = open_task(recipe.with_values({"classification.classes": 7}))
    info = task.assumed_info()
    assert task.describe(info) == "7 classes"
    image, label = task.specs(info)
    assert (image.shape, label.shape) == ((224, 224, 3), (7,))
