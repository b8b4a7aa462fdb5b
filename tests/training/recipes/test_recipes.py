"""Recipes against the paper's table, the schedule against timm, optimizers against torch."""

import contextlib
import dataclasses
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit import RegionViTBackbone, build_classifier
from keras_regionvit.backbone import SWITCHES
from training.optimizers import MomentumSGD, adamw, sgd
from training.recipes import catalogue as recipes
from training.recipes.schema import Recipe
from training.schedules import WarmupCosine
from training.tasks.classification import build_model, build_schedule

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
FIGURES = {
    "Batch size": lambda r: r.batch_size,
    "Epochs": lambda r: r.epochs,
    "Optimizer": lambda r: r.optimizer,
    "Weight Decay": lambda r: r.weight_decay,
    "Scheduler": lambda r: r.peak_rate,
    "Warmup Epochs": lambda r: r.warmup_epochs,
    "Warmup": lambda r: r.warmup_rate,
    "RandAugment m": lambda r: float(re.search(r"-m(\d+)-", r.auto_augment)[1]),
    "Mixup": lambda r: r.mixup,
    "CutMix": lambda r: r.cutmix,
    "Random Erasing": lambda r: r.erasing,
    "Instance Repetition": lambda r: r.repeats,
    "Drop-path": lambda r: r.drop_path_rate,
    "Label Smoothing": lambda r: r.label_smoothing,
}


def table(text):
    """`{row: [cells]}`."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()[1:]]
    return {name: cells for name, *cells in lines}


@pytest.mark.parametrize("name", COLUMNS)
def test_recipe_equals_the_table(name):
    recipe = recipes.load(name).RECIPE
    rows = table(TABLE_A1)
    assert set(rows) == set(FIGURES)
    for row, cells in rows.items():
        assert len(cells) == 4
        wanted, found = cells[COLUMNS[name]], FIGURES[row](recipe)
        if row == "Optimizer":
            assert found == wanted.lower()
        else:
            assert found == pytest.approx(float(wanted.replace(",", "")), rel=1e-12), row
    # the text of A.1, and what the release does where both are silent
    assert recipe.image_size == (384 if name == "finetune384" else 224)
    assert recipe.crop_ratio == (1.0 if name == "finetune384" else 0.875)
    assert (recipe.floor_rate, recipe.decay, recipe.clip_norm) == (1e-5, "official", 0)
    assert (recipe.switch_probability, recipe.color_jitter, recipe.flip) == (0.5, 0.4, 0.5)
    assert recipe.auto_augment == "rand-m9-mstd0.5-inc1"
    tiny = recipe.with_overrides({"variant": "tiny"})
    assert tiny.repeats == 1 and tiny.drop_path_rate == recipe.drop_path_rate
    assert recipe.with_overrides({"variant": "base_plus"}).repeats == 3
    assert recipe.with_overrides({"variant": "tiny", "repeats": "3"}).repeats == 3


def test_classes_of_the_sets():
    wanted = {
        "imagenet1k": 1000, "imagenet21k": 21841, "finetune384": 1000, "transfer_cifar10": 10,
        "transfer_cifar100": 100, "transfer_pets": 37, "transfer_cars": 196, "fashion_mnist": 10,
        "quickstart": 10, "folder": 0, "transfer_chestxray8": 14,
    }  # fmt: skip
    assert {name: recipes.load(name).RECIPE.classes for name in recipes.names()} == wanted
    multi = {name for name in recipes.names() if recipes.load(name).RECIPE.multi_label}
    assert multi == {"transfer_chestxray8"}


def test_the_rate_follows_the_batch():
    """5e-4 x batch / 512, as DeiT has it."""
    recipe = recipes.load("imagenet1k").RECIPE
    for batch in (64, 512, 1024):
        assert recipe.with_overrides({"batch_size": str(batch)}).peak_rate == 5e-4 * batch / 512


@pytest.mark.parametrize(
    ("variant", "windows"),
    [("small", (12,) * 4), ("base_plus", (24, 24, 24, 12)), ("tiny_w14", (24,) * 4)],
)
def test_windows_at_384(variant, windows):
    recipe = recipes.load("finetune384").RECIPE.with_overrides({"variant": variant})
    assert recipe.windows == windows
    assert recipe.with_overrides({"window_size": "14,14,14,14"}).windows == (14,) * 4


@pytest.mark.slow
def test_base_plus_at_384_has_the_papers_parameters():
    recipe = recipes.load("finetune384").RECIPE.with_overrides({"variant": "base_plus"})
    assert round(build_model(recipe, 1000).count_params() / 1e6, 1) == 76.5  # Table 4a


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_says_what_it_needs(name):
    module = recipes.load(name)
    assert module.RECIPE.name == name
    for word in (f"Command: python -m training.train --recipe {name}", "Hardware:", "Cost:",
                 "Expected:"):  # fmt: skip
        assert word in module.__doc__, word
    small = recipes.smoke(name)
    assert small.epochs == 2 and not small.needs_weights
    for kept in ("optimizer", "repeats", "mixup", "cutmix", "erasing", "decay", "crop_ratio"):
        assert getattr(small, kept) == getattr(module.RECIPE, kept)
    assert Recipe.from_dict(module.RECIPE.to_dict()) == module.RECIPE


def test_overrides_are_typed():
    recipe = recipes.load("imagenet1k").RECIPE
    changed = recipe.with_overrides({
        "epochs": "7", "warmup_epochs": "0.5", "weight_decay": "1e-3", "deterministic": "true",
        "window_size": "14,14,14,7", "mean": "1,2,3.5", "decay": "kernels",
    })  # fmt: skip
    assert changed == dataclasses.replace(
        recipe, epochs=7, warmup_epochs=0.5, weight_decay=1e-3, deterministic=True,
        window_size=(14, 14, 14, 7), mean=(1.0, 2.0, 3.5), decay="kernels",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("epoch", "3", "did you mean 'epochs'"),
        ("name", "x", "no figure 'name'"),
        ("epochs", "3.5", "--set epochs must be a whole number, not '3.5'"),
        ("epochs", "0", "`epochs` must be a number of at least 1"),
        ("learning_rate", "fast", "must be a number, not 'fast'"),
        ("learning_rate", "nan", "`learning_rate`"),
        ("deterministic", "maybe", "true or false"),
        ("window_size", "7,x", "numbers with commas"),
        ("window_size", "7,7", "`window_size` must be 4 numbers"),
        ("variant", "huge", "`variant` must be one of tiny"),
        ("variant", "", "`embed_dims` must be channels a stage"),
        ("optimizer", "lamb", "adamw, sgd"),
        ("accumulation", "3", "divisor of the batch of 4096"),
        ("warmup_epochs", "300", "below 300 epochs"),
        ("mean", "1,2", "3 numbers, one a channel"),
        ("ema", "1", "below 1"),
        ("drop_path_rate", "-0.1", "between 0 and 1"),
        ("embed_dims", "32", "empty where `variant` is set"),
    ],
)
def test_bad_overrides(key, text, said):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        recipes.load("imagenet1k").RECIPE.with_overrides({key: text})
    assert "\n" not in str(error.value)


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
    ],
)
def test_ablations_are_figures(words):
    """The paper's section 4.4 by `--set`."""
    small = {"variant": "", "embed_dims": "8,16", "depths": "2,1", "window_size": "2,2",
             "image_size": "16", "patch_size": "2", "channels": "1", "mean": "0",
             "std": "1"}  # fmt: skip
    overrides = dict(word.split("=") for word in words.split())
    recipe = recipes.load("imagenet1k").RECIPE.with_overrides({**small, **overrides})
    backbone = build_model(recipe, 3).get_layer("backbone")
    for key in overrides:
        assert getattr(backbone, key) == getattr(recipe, key)
    changed = {key for key, value in SWITCHES.items() if getattr(backbone, key) != value}
    assert changed == set(overrides) - {"stem"}


def test_unknown_recipe():
    with pytest.raises(ValueError, match=r"quickstart.*'nope'"):
        recipes.load("nope")
    assert "Fashion-MNIST" in recipes.summary("quickstart")


# Schedule and optimizers


@pytest.fixture(scope="module")
def timm_scheduler():
    """timm's `CosineLRScheduler`."""
    torch = pytest.importorskip("torch", reason="timm's scheduler needs torch")
    # torchvision without its compiled part imports only once its operators are declared
    library = torch.library.Library("torchvision", "DEF")
    for schema in ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
                   "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"):  # fmt: skip
        with contextlib.suppress(RuntimeError):  # its own are there
            library.define(schema)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timm = pytest.importorskip("timm.scheduler.cosine_lr", reason="timm is not installed")
    return timm.CosineLRScheduler


@pytest.mark.parametrize("name", ["imagenet1k", "imagenet21k", "finetune384", "transfer_pets"])
@pytest.mark.parametrize("by", ["step", "epoch"])
def test_schedule_equals_timm(timm_scheduler, name, by):
    import torch

    recipe = recipes.load(name).RECIPE.with_overrides({"schedule": by})
    steps_per_epoch = 13
    ours = build_schedule(recipe, steps_per_epoch)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.peak_rate)
    length = steps_per_epoch if by == "step" else 1
    theirs = timm_scheduler(
        optimizer,
        t_initial=recipe.epochs * length,
        lr_min=recipe.floor_rate,
        warmup_t=recipe.warmup_epochs * length,
        warmup_lr_init=recipe.warmup_rate,
        t_in_epochs=by == "epoch",
    )
    last = recipe.epochs * steps_per_epoch
    warm = recipe.warmup_epochs * steps_per_epoch
    for step in {0, 1, 12, 13, 14, warm - 1, warm, warm + 1, last // 2, last - 1, last, last + 9}:
        if step < 0:
            continue
        if by == "step":
            theirs.step_update(step)
        else:
            theirs.step(step // steps_per_epoch)
        assert float(ours(step)) == pytest.approx(optimizer.param_groups[0]["lr"], rel=2e-5), step


def tiny_model():
    keras.utils.set_random_seed(0)
    backbone = RegionViTBackbone((32,), (1,), window_size=2, patch_size=2, input_shape=(8, 8, 1))
    return build_classifier(backbone, 3)


def test_what_decays():
    """A step without gradient multiplies by 1 - rate * decay what decays, and leaves the rest."""
    decayed = {}
    for decay in ("official", "kernels"):
        model = tiny_model()
        for weight in model.trainable_variables:
            weight.assign(tf.ones_like(weight.value))
        optimizer = adamw(model, 0.5, 0.1, decay)
        zeros = [tf.zeros_like(w.value) for w in model.trainable_variables]
        optimizer.apply(zeros, model.trainable_variables)
        decayed[decay] = {w.path for w in model.trainable_variables if not np.allclose(w, 1.0)}
        for weight in model.trainable_variables:
            wanted = 0.95 if weight.path in decayed[decay] else 1.0
            np.testing.assert_allclose(weight, wanted, rtol=1e-6)
        for weight in model.trainable_variables:
            if len(weight.shape) < 2:
                assert weight.path not in decayed[decay]
    assert {path.split("/")[-1] for path in decayed["kernels"]} == {"kernel"}
    more = decayed["official"] - decayed["kernels"]
    assert {path.split("/")[-1] for path in more} == {"position_bias_table"}
    with pytest.raises(ValueError, match="official, kernels"):
        adamw(tiny_model(), 0.5, 0.1, "all")


def test_sgd_equals_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4)).astype("float32")
    for nesterov in (False, True):
        ours = keras.Variable(start)
        optimizer = MomentumSGD(0.1, 0.9, nesterov, l2=0.01)
        theirs = torch.nn.Parameter(torch.tensor(start))
        group = torch.optim.SGD(
            [theirs], lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01
        )
        for step in range(5):
            rate = 0.1 / (step + 1)  # a schedule acts on all of the velocity
            optimizer.learning_rate = group.param_groups[0]["lr"] = rate
            gradient = rng.normal(size=(3, 4)).astype("float32")
            optimizer.apply([tf.constant(gradient)], [ours])
            theirs.grad = torch.tensor(gradient)
            group.step()
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_sgd_spares_biases_and_trains_by_fit():
    model = tiny_model()
    optimizer = sgd(model, WarmupCosine(0.1, 8, 2), 1e-2)
    model.compile(optimizer, "categorical_crossentropy", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 1))
    y = np.eye(3)[np.arange(16) % 3]
    losses = model.fit(x, y, batch_size=4, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config()["l2"] == 1e-2 and again.nesterov
    bias = [v for v in model.trainable_variables if v.name == "bias"]
    assert bias and not any(optimizer._use_weight_decay(v) for v in bias)
