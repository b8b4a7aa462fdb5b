"""The models that recipes name: the paper's sizes, and its ablations by `--set`."""

import pytest

from keras_regionvit.backbone import SWITCHES
from training.recipes import catalogue as recipes
from training.tasks.classification import build_model


@pytest.mark.slow
def test_base_plus_at_384_has_the_papers_parameters():
    recipe = recipes.load("finetune384").RECIPE.with_overrides({"model.variant": "base_plus"})
    assert round(build_model(recipe, 1000).count_params() / 1e6, 1) == 76.5  # Table 4a


@pytest.mark.parametrize(
    "words",
    [
        "regional_tokens=false",
        "weight_sharing=0",
        "local_keys=all",
        "downsample=dense2",
        "position=both",
        "overlap=true",
        "regional_tokens=false attention=shifted_window downsample=patch_merging stem=patch",
        "peg=true",
        "pyramid_norm=true",
        "gradient_checkpointing=true",
    ],
)
def test_switches_are_settings(words):
    """The paper's section 4.4, and what detection needs, by `--set`."""
    small = {"model.variant": "", "model.embed_dims": "8,16", "model.depths": "2,1",
             "model.window_size": "2,2", "model.patch_size": "2", "data.image_size": "16",
             "data.channels": "1", "data.mean": "0", "data.std": "1"}  # fmt: skip
    overrides = dict(word.split("=") for word in words.split())
    asked = {f"model.{key}": text for key, text in overrides.items()}
    recipe = recipes.load("imagenet1k").RECIPE.with_overrides({**small, **asked})
    backbone = build_model(recipe, 3).get_layer("backbone")
    for key in overrides:
        assert getattr(backbone, key) == getattr(recipe.model, key)
    changed = {key for key, value in SWITCHES.items() if getattr(backbone, key) != value}
    assert changed == set(overrides) & set(SWITCHES)
