"""A small Semantic FPN on composed images of garments, on a laptop in less than an hour.

Command: python -m training.train --recipe quickstart_segmentation
Hardware: two CPU cores, 3 GiB of memory.
The images are those of `quickstart_detection`; the background is a class of its own. --smoke takes
half a minute.
Cost: 48 minutes on two cores with AVX-512, beside other work.
Expected: a mean IoU of 58.8% (seed 0).
"""

from training.recipes.dense import composed
from training.recipes.sections import Schedule
from training.recipes.segmentation import Segmentation, SegmentationRecipe

RECIPE = SegmentationRecipe(
    "quickstart_segmentation",
    **composed(),
    schedule=Schedule(epochs=22, every="step", warmup_epochs=1, min_learning_rate=0.0),
    segmentation=Segmentation(width=64, head_width=64),
)
