"""The schedule by hand, and against timm's."""

import contextlib
import math
import warnings

import keras
import numpy as np
import pytest

from training.engine.state import make_schedule
from training.recipes import catalogue as recipes
from training.schedules import WarmupCosine, WarmupPoly, WarmupSteps


def test_by_hand():
    arguments = {"warmup_steps": 4, "warmup_learning_rate": 0.2, "min_learning_rate": 0.1}
    schedule = WarmupCosine(0.8, steps=16, **arguments)
    rates = [float(schedule(step)) for step in range(20)]
    np.testing.assert_allclose(rates[:4], [0.2, 0.35, 0.5, 0.65], rtol=1e-6)
    root = math.cos(math.pi / 4)
    expected = [0.1 + 0.35 * (1 + root), 0.45, 0.1 + 0.35 * (1 - root), 0.1]
    np.testing.assert_allclose(rates[4:17:4], expected, rtol=1e-6)
    np.testing.assert_allclose(rates[16:], 0.1, rtol=1e-6)
    assert float(WarmupCosine(0.8, steps=2)(0)) == pytest.approx(0.8)
    stairs = WarmupCosine(0.8, steps=16, every=4, **arguments)
    np.testing.assert_allclose([stairs(s) for s in range(16)], np.repeat(rates[:16:4], 4))


def test_round_trip():
    schedule = WarmupCosine(0.8, steps=12, warmup_steps=4, min_learning_rate=0.1, every=2)
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert [float(again(s)) for s in range(12)] == [float(schedule(s)) for s in range(12)]


def test_files_of_version_0_1_0():
    """Their words for the arguments were others."""
    config = {"peak": 0.8, "steps": 12, "warmup_steps": 4, "warmup_rate": 0.2, "floor": 0.1,
              "every": 2}  # fmt: skip
    schedule = keras.saving.deserialize_keras_object({
        "module": None, "class_name": "WarmupCosine", "config": config,
        "registered_name": "regionvit_training>WarmupCosine",
    })  # fmt: skip
    same = WarmupCosine(0.8, 12, 4, warmup_learning_rate=0.2, min_learning_rate=0.1, every=2)
    assert schedule.get_config() == same.get_config()


@pytest.mark.parametrize("arguments", [{"warmup_steps": -1}, {"warmup_steps": 12}, {"every": 0}])
def test_bad_arguments(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}`"):
        WarmupCosine(0.8, steps=12, **arguments)


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
def test_equals_timm(timm_scheduler, name, by):
    import torch

    recipe = recipes.load(name).RECIPE
    epochs, warmup_epochs = recipe.schedule.epochs, recipe.schedule.warmup_epochs
    rates = {
        "warmup_learning_rate": recipe.schedule.warmup_learning_rate,
        "min_learning_rate": recipe.schedule.min_learning_rate,
    }
    steps_per_epoch = 13
    last, warm = epochs * steps_per_epoch, warmup_epochs * steps_per_epoch
    every = 1 if by == "step" else steps_per_epoch
    ours = WarmupCosine(recipe.peak_learning_rate, last, warm, every=every, **rates)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.peak_learning_rate)
    length = steps_per_epoch if by == "step" else 1
    theirs = timm_scheduler(
        optimizer,
        t_initial=epochs * length,
        lr_min=rates["min_learning_rate"],
        warmup_t=warmup_epochs * length,
        warmup_lr_init=rates["warmup_learning_rate"],
        t_in_epochs=by == "epoch",
    )
    for step in {0, 1, 12, 13, 14, warm - 1, warm, warm + 1, last // 2, last - 1, last, last + 9}:
        if step < 0:
            continue
        if by == "step":
            theirs.step_update(step)
        else:
            theirs.step(step // steps_per_epoch)
        assert float(ours(step)) == pytest.approx(optimizer.param_groups[0]["lr"], rel=2e-5), step


def test_steps_by_hand():
    """Detectron2's 1x: /10 at 60,000 and 80,000, 1,000 steps of warm-up from a thousandth."""
    schedule = make_schedule(recipes.load("coco_retinanet_1x").RECIPE, 7500)
    assert schedule.steps == 90_000 and schedule.milestones == (60_000, 80_000)
    wanted = {0: 1e-7, 500: 5.005e-5, 999: 9.99001e-5, 1000: 1e-4, 59_999: 1e-4, 60_000: 1e-5,
              79_999: 1e-5, 80_000: 1e-6, 89_999: 1e-6}  # fmt: skip
    for step, rate in wanted.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-4), step
    schedule = make_schedule(recipes.load("coco_retinanet_3x").RECIPE, 7500)
    assert schedule.steps == 270_000 and schedule.milestones == (210_000, 250_000)


def test_poly_by_hand():
    schedule = make_schedule(recipes.load("ade20k_semantic_fpn").RECIPE, 8000)
    wanted = {0: 1e-4, 8_000: 0.909532576e-4, 40_000: 0.535886731e-4, 72_000: 0.125892541e-4,
              80_000: 0.0, 90_000: 0.0}  # fmt: skip
    for step, rate in wanted.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-4, abs=1e-12), step


def test_steps_and_poly_equal_torch():
    torch = pytest.importorskip("torch", reason="the schedulers are torch's")
    ours = WarmupSteps((5, 9), peak_learning_rate=0.3, steps=12)
    poly = WarmupPoly(0.9, peak_learning_rate=0.3, steps=12)
    for schedule, make in (
        (ours, lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [5, 9])),
        (poly, lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 12, power=0.9)),
    ):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
        theirs = make(optimizer)
        for step in range(13):
            rate = optimizer.param_groups[0]["lr"]
            assert float(schedule(step)) == pytest.approx(rate, rel=1e-5, abs=1e-9), step
            optimizer.step()
            theirs.step()


@pytest.mark.parametrize("schedule", [
    WarmupSteps((5, 9), 0.5, peak_learning_rate=0.3, steps=12, warmup_steps=2, every=2),
    WarmupPoly(0.7, 0.1, peak_learning_rate=0.3, steps=12, warmup_learning_rate=0.2),
])  # fmt: skip
def test_round_trip_of_the_others(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert [float(again(s)) for s in range(14)] == [float(schedule(s)) for s in range(14)]


@pytest.mark.parametrize(
    "text",
    [
        "schedule.milestones=0.5",
        "schedule.curve=steps",
        "schedule.steps=7",
        "schedule.warmup_steps=9",
    ],
)
def test_settings_that_make_no_sense(text):
    key, _, value = text.partition("=")
    with pytest.raises(ValueError, match=r"schedule\."):
        recipes.load("imagenet1k").RECIPE.with_overrides({key: value})
