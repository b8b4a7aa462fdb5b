"""Semantic FPN on ADE20K, 80,000 steps (section A.3).

Command: python -m training.train --recipe ade20k_semantic_fpn --data /ADEChallengeData2016
Hardware: the paper used 8 GPUs.
Cost: not measured.
/ADEChallengeData2016 is the set of the scene parsing challenge: `images` and `annotations`, each
with `training` and `validation`; TFDS' scene_parse150 has masks of instances in place of these.
The shorter side is resized to 448 pixels, the longer to 1,792 at most, times 0.5 to 2; training
sees a random 448x448 of it, with its colours distorted, evaluation all of it without the factor.
Expected: the mIoU of the paper's Table 6; not yet run to its end.
"""

from training.recipes.dense import NOT_DENSE, from_imagenet
from training.recipes.sections import Augment, Data, Evaluate, Optimizer, Schedule
from training.recipes.segmentation import Segmentation, SegmentationRecipe

RECIPE = SegmentationRecipe(
    "ade20k_semantic_fpn",
    Data("masks", batch_size=32),
    from_imagenet(),
    Augment(**NOT_DENSE, color_jitter=0.0, flip=0.5),
    Optimizer(learning_rate=1e-4, base_batch_size=32, weight_decay=0.05, clip_norm=0.0),
    Schedule(
        epochs=10,
        steps=80_000,
        curve="poly",
        power=0.9,
        every="step",
        warmup_epochs=0,
        min_learning_rate=0.0,
    ),
    Evaluate(crop_ratio=1.0),
    segmentation=Segmentation(
        classes=150,
        canvas=(448, 1792),
        crop=448,
        least_scale=0.5,
        greatest_scale=2.0,
        photometric=True,
    ),
)
