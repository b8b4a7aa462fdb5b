"""The recipes of detection and segmentation against the official settings."""

import numpy as np
import pytest

from training.recipes import catalogue as recipes

# name: canvas, steps, /10 at, evaluation keeps the aspect, scales
COCO = {
    "coco_retinanet_1x": ((672, 1120), 90_000, (60_000, 80_000), False, ()),
    "coco_retinanet_3x": ((672, 1120), 270_000, (210_000, 250_000), True, range(480, 897, 32)),
    "coco_retinanet_dagger": ((896, 1344), 270_000, (210_000, 250_000), True, range(480, 897, 32)),
}
COCO |= {name.replace("retinanet", "mask_rcnn"): row for name, row in COCO.items()}
COCO["coco_keypoint_rcnn_1x"] = COCO["coco_retinanet_1x"]


@pytest.mark.parametrize("name", COCO)
def test_coco(name):
    recipe = recipes.load(name).RECIPE
    canvas, steps, milestones, keep_aspect, scales = COCO[name]
    own, schedule, optimizer, model = (
        recipe.detection, recipe.schedule, recipe.optimizer, recipe.model,
    )  # fmt: skip
    assert (own.canvas, own.keep_aspect, own.scales) == (canvas, keep_aspect, tuple(scales))
    persons = "keypoint" in name
    assert (own.classes, own.width, own.crop) == (1 if persons else 80, 256, 0)
    assert (own.regions, own.head_width, own.keypoint_width) == (512, 1024, 512)
    assert (own.proposals, own.training_proposals) == (1000, 1500 if persons else 1000)
    assert own.shapes == ("keypoints" if persons else "masks" if "mask" in name else "")
    assert (schedule.curve, schedule.steps, schedule.every) == ("steps", steps, "step")
    np.testing.assert_allclose(np.multiply(schedule.milestones, steps), milestones)
    assert (schedule.warmup_steps, schedule.warmup_epochs) == (1000, 0)
    assert schedule.warmup_learning_rate == pytest.approx(1e-3 * recipe.peak_learning_rate)
    assert (optimizer.name, recipe.peak_learning_rate, recipe.data.batch_size) == (
        "adamw",
        1e-4,
        16,
    )
    assert (optimizer.weight_decay, optimizer.decay, optimizer.clip_norm) == (0.05, "official", 0)
    assert (model.drop_path_rate, model.pyramid_norm, model.weights) == (0.2, True, "imagenet")
    assert (recipe.augment.flip, recipe.augment.color_jitter) == (0.5, 0)
    dagger = name.endswith("dagger")
    large = "base_w14" if dagger else "small_w14"
    assert (model.variant, model.peg) == ((large, True) if dagger or persons else ("small", False))
    assert set(recipe.windows) == {14 if dagger or persons else 7}


def test_ade20k():
    recipe = recipes.load("ade20k_semantic_fpn").RECIPE
    own, schedule, optimizer, model = (
        recipe.segmentation, recipe.schedule, recipe.optimizer, recipe.model,
    )  # fmt: skip
    assert (own.canvas, own.crop, own.keep_aspect) == ((448, 1792), 448, True)
    assert (own.least_scale, own.greatest_scale, own.photometric) == (0.5, 2.0, True)
    assert (own.classes, own.width, own.head_width, own.dropout_rate) == (150, 256, 128, 0.1)
    assert (schedule.curve, schedule.power, schedule.steps) == ("poly", 0.9, 80_000)
    assert (schedule.warmup_steps, schedule.warmup_epochs, schedule.min_learning_rate) == (0, 0, 0)
    assert (optimizer.name, recipe.peak_learning_rate, recipe.data.batch_size) == (
        "adamw",
        1e-4,
        32,
    )
    assert (optimizer.weight_decay, optimizer.clip_norm) == (0.05, 0)
    assert (model.drop_path_rate, model.pyramid_norm, model.weights) == (0.2, True, "imagenet")
    assert (recipe.augment.flip, recipe.augment.color_jitter) == (0.5, 0)


@pytest.mark.parametrize(
    "text",
    ["canvas=64", "canvas=96,64", "canvas=60,100", "crop=64", "crop=50", "scales=64,0"],
)
@pytest.mark.parametrize("kind", ["detection", "segmentation"])
def test_canvases_that_make_no_sense(kind, text):
    key, _, value = text.partition("=")
    with pytest.raises(ValueError, match=rf"{kind}\.{key}"):
        recipes.smoke(f"quickstart_{kind}").with_overrides({f"{kind}.{key}": value})


@pytest.mark.parametrize("name", ["detection_folder", "segmentation_folder"])
def test_a_canvas_leaves_no_size_to_be_set(name):
    recipe = recipes.load(name).RECIPE
    kind = recipe.task
    with pytest.raises(
        ValueError, match=rf"`data.image_size` must be left out where `{kind}.canvas`"
    ):
        recipe.with_overrides({"data.image_size": "640"})
    square = {"data.image_size": "640", f"{kind}.canvas": "", f"{kind}.crop": "0"}
    assert recipe.with_overrides(square).windows == (7, 7, 7, 7)  # as at every other size


@pytest.mark.parametrize(
    ("shapes", "key", "value"),
    [
        ("", "regions", 64),
        ("", "head_width", 64),
        ("masks", "keypoint_width", 64),
        ("keypoints", "mask_size", 28),
        ("masks", "tower_initializer", "he_normal"),
    ],
)
def test_settings_of_other_detectors_are_refused(shapes, key, value):
    recipe = recipes.load("detection_folder").RECIPE
    text = rf"`detection.{key}` must be .* unless `detection.shapes` is"
    with pytest.raises(ValueError, match=text):
        recipe.with_values({"detection.shapes": shapes, f"detection.{key}": value})


@pytest.mark.parametrize("shapes", ["masks", "keypoints"])
def test_a_folder_of_photos_with_shapes(shapes):
    recipe = recipes.load("detection_folder").RECIPE.with_overrides({"detection.shapes": shapes})
    assert recipe.smoke_values["detection.regions"] == 16
    assert recipe.with_values(recipe.smoke_values).detection.shapes == shapes
