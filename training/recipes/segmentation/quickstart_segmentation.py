"""A small Semantic FPN on composed images of garments, on a laptop in less than an hour.

Command: python -m training.train --recipe quickstart_segmentation
Hardware: two CPU cores, 3 GiB of memory.
The images are those of `quickstart_detection`; the background is a class of its own. --smoke takes
half a minute.
Cost: 25 minutes on two cores with AVX-512, beside other work.
Expected: a mean IoU of 48.5% (seed 0); the quick start is to be made better.
"""

from training.recipes.dense import NOT_DENSE
from training.recipes.sections import Augment, Data, Evaluate, Model, Optimizer, Schedule
from training.recipes.segmentation import Segmentation, SegmentationRecipe

RECIPE = SegmentationRecipe(
    "quickstart_segmentation",
    Data("composed", eval_split="test", image_size=256, batch_size=8),
    Model(
        variant="",
        embed_dims=(32, 64, 128, 256),
        depths=(1, 1, 2, 1),
        window_size=(4, 4, 4, 4),
        pyramid_norm=True,
        drop_path_rate=0.0,
    ),
    Augment(**NOT_DENSE, color_jitter=0.0, flip=0.5),
    Optimizer(learning_rate=2e-3, base_batch_size=8, clip_norm=10.0),
    Schedule(epochs=8, every="step", warmup_epochs=1, min_learning_rate=0.0),
    Evaluate(crop_ratio=1.0),
    segmentation=Segmentation(width=64, head_width=64),
)
