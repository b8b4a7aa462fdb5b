"""The recipes against the paper's table, what their heads say, and the catalogue."""

import json
import re

import pytest

from training.recipes import catalogue as recipes
from training.recipes.schema import Recipe

# The paper's Table A1, typed from it. Cells that it leaves open hold for all columns to the right.
TABLE_A1 = """
                       IN1K     IN21K    Finetune  Transfer
Batch size             4,096    4,096    1,024     768
Epochs                 300      120      30        1,000
Optimizer              AdamW    AdamW    AdamW     SGD
Weight Decay           0.05     0.01     1e-8      1e-4
Scheduler              0.004    0.001    0.0002    0.01
Warmup Epochs          50       5        0         5
Warmup                 1e-6     1e-6     1e-6      1e-6
RandAugment m          9        9        9         9
Mixup                  0.8      0.8      0.8       0.8
CutMix                 1.0      1.0      1.0       1.0
Random Erasing         0.25     0.25     0.25      0.0
Instance Repetition    3        3        3         3
Drop-path              0.1      0.1      0.1       0.0
Label Smoothing        0.1      0.1      0.1       0.1
"""
COLUMNS = {
    "imagenet1k": 0,
    "imagenet21k": 1,
    "finetune384": 2,
    "transfer_cifar10": 3,
    "transfer_cifar100": 3,
    "transfer_pets": 3,
    "transfer_cars": 3,
    "transfer_chestxray8": 3,
}
SETTINGS = {
    "Batch size": lambda r: r.data.batch_size,
    "Epochs": lambda r: r.schedule.epochs,
    "Optimizer": lambda r: r.optimizer.name,
    "Weight Decay": lambda r: r.optimizer.weight_decay,
    "Scheduler": lambda r: r.peak_learning_rate,
    "Warmup Epochs": lambda r: r.schedule.warmup_epochs,
    "Warmup": lambda r: r.schedule.warmup_learning_rate,
    "RandAugment m": lambda r: float(re.search(r"-m(\d+)-", r.augment.auto_augment)[1]),
    "Mixup": lambda r: r.augment.mixup,
    "CutMix": lambda r: r.augment.cutmix,
    "Random Erasing": lambda r: r.augment.erasing,
    "Instance Repetition": lambda r: r.augment.repeats,
    "Drop-path": lambda r: r.model.drop_path_rate,
    "Label Smoothing": lambda r: r.classification.label_smoothing,
}


def table(text):
    """`{row: [cells]}`."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()[1:]]
    return {name: cells for name, *cells in lines}


@pytest.mark.parametrize("name", COLUMNS)
def test_recipe_equals_the_table(name):
    recipe = recipes.load(name).RECIPE
    rows = table(TABLE_A1)
    assert set(rows) == set(SETTINGS)
    for row, cells in rows.items():
        assert len(cells) == 4
        wanted, found = cells[COLUMNS[name]], SETTINGS[row](recipe)
        if row == "Optimizer":
            assert found == wanted.lower()
        else:
            assert found == pytest.approx(float(wanted.replace(",", "")), rel=1e-12), row
    # the text of A.1, and what the release does where both are silent
    augment, optimizer = recipe.augment, recipe.optimizer
    assert recipe.data.image_size == (384 if name == "finetune384" else 224)
    assert recipe.evaluate.crop_ratio == (1.0 if name == "finetune384" else 0.875)
    assert recipe.schedule.min_learning_rate == 1e-5
    assert (optimizer.decay, optimizer.clip_norm) == ("official", 0)
    assert (augment.switch_probability, augment.color_jitter, augment.flip) == (0.5, 0.4, 0.5)
    assert augment.auto_augment == "rand-m9-mstd0.5-inc1"


@pytest.mark.parametrize("name", COLUMNS)
def test_tiny_variants_do_without_instance_repetition(name):
    recipe = recipes.load(name).RECIPE
    tiny = recipe.with_overrides({"model.variant": "tiny"})
    assert tiny.augment.repeats == 1
    assert tiny.model.drop_path_rate == recipe.model.drop_path_rate
    assert recipe.with_overrides({"model.variant": "base_plus"}).augment.repeats == 3
    asked = {"model.variant": "tiny", "augment.repeats": "3"}
    assert recipe.with_overrides(asked).augment.repeats == 3


def test_classes_of_the_sets():
    wanted = {
        "imagenet1k": 1000, "imagenet21k": 21841, "finetune384": 1000, "transfer_cifar10": 10,
        "transfer_cifar100": 100, "transfer_pets": 37, "transfer_cars": 196, "fashion_mnist": 10,
        "quickstart": 10, "folder": 0, "transfer_chestxray8": 14,
    }  # fmt: skip
    found = {name: recipes.load(name).RECIPE for name in recipes.names()}
    sections = {
        name: recipe.classification
        for name, recipe in found.items()
        if recipe.task == "classification"
    }
    assert {name: section.classes for name, section in sections.items()} == wanted
    assert {name for name in sections if sections[name].multi_label} == {"transfer_chestxray8"}
    assert {name for name in sections if sections[name].showcase} == {"quickstart"}


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_says_what_it_needs(name):
    module = recipes.load(name)
    assert module.RECIPE.name == name
    for word in (f"Command: python -m training.train --recipe {name}", "Hardware:", "Cost:",
                 "Expected:"):  # fmt: skip
        assert word in module.__doc__, word
    known = dict(module.RECIPE.items())
    named = re.findall(r"--set\s+([\w.]+)", module.__doc__)
    assert all(key in known for key in named), named
    assert len(module.__doc__.splitlines()[0]) <= 100
    assert recipes.summary(name) == module.__doc__.splitlines()[0]


@pytest.mark.parametrize("name", recipes.names())
def test_smoke_shrinks_and_keeps_the_rest(name):
    whole, small = recipes.load(name).RECIPE, recipes.smoke(name)
    assert small.schedule.epochs == 2 and not small.model.needs_weights
    shrunk = {key for key, value in small.items() if dict(whole.items())[key] != value}
    assert shrunk <= {
        "data.source", "data.images", "data.image_size", "data.batch_size", "model.variant",
        "model.embed_dims", "model.depths", "model.patch_size", "model.window_size", "model.border",
        "model.needs_weights", "optimizer.base_batch_size", "schedule.epochs",
        "schedule.warmup_epochs", "classification.classes",
        "detection.width", "segmentation.width", "segmentation.head_width",
        "model.weights", "schedule.steps", "schedule.warmup_steps", "detection.canvas",
        "detection.crop", "detection.scales", "detection.classes", "segmentation.canvas",
        "segmentation.crop", "segmentation.classes", "segmentation.scales",
        "detection.mask_size", "detection.proposals", "detection.training_proposals",
        "detection.regions", "detection.head_width", "detection.keypoint_width",
    }  # fmt: skip
    assert small.peak_learning_rate == pytest.approx(whole.peak_learning_rate)


@pytest.mark.parametrize("kind", ["recipes", "smoke"])
def test_records_of_version_0_1_0(golden, kind):
    """What earlier versions wrote to run.json, without sections, is the recipe of today."""
    written = json.loads((golden / "recipes_0_1_0.json").read_text("utf-8"))[kind]
    assert set(written) <= set(recipes.names())
    for name, values in written.items():
        recipe = recipes.load(name).RECIPE if kind == "recipes" else recipes.smoke(name)
        assert Recipe.from_dict(values) == recipe, name


def test_unknown_recipe():
    with pytest.raises(ValueError, match=r"quickstart.*'nope'"):
        recipes.load("nope")


def test_names_are_found_through_the_tasks(tmp_path, monkeypatch):
    """Every package beside the catalogue is a task; what begins with an underscore is none."""
    for path in ("one/__init__.py", "one/first.py", "one/_shared.py", "two/__init__.py",
                 "two/second.py", "schema.py"):  # fmt: skip
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(f'"""The head of {path}."""\nraise ImportError\n')
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    assert recipes.names() == ["first", "second"]
    assert recipes.summary("second") == "The head of two/second.py."


def test_no_two_recipes_share_a_name():
    files = [p.stem for p in recipes.FOLDER.glob("*/*.py") if not p.name.startswith("_")]
    assert sorted(files) == recipes.names()
