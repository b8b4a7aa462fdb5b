"""A small Semantic FPN on composed images of garments, on a laptop in an hour.

Command: python -m training.train --recipe quickstart_segmentation
Hardware: two CPU cores, 3 GiB of memory.
The images are those of `quickstart_detection`; the background is a class of its own. --smoke takes
half a minute.
Cost: 60 minutes on two cores with AVX-512, beside much other work.
Expected: a mean IoU of 67.1% (seed 0).
"""

from training.recipes.dense import composed
from training.recipes.sections import Schedule
from training.recipes.segmentation import Segmentation, SegmentationRecipe

# Of few images a network from scratch learns the images themselves: without what changes sizes and
# colours, 22 epochs end at 58.8%, 97.1% of the pixels right in training and 93.7% held out. With
# it, 40 epochs end at 63.7%; with convolutions between the stages and batches of 4 as below.
RECIPE = SegmentationRecipe(
    "quickstart_segmentation",
    **composed(),
    schedule=Schedule(epochs=38, every="step", warmup_epochs=1, min_learning_rate=0.0),
    segmentation=Segmentation(width=32, head_width=32, least_scale=0.8, greatest_scale=1.3),
).with_values({
    "data.batch_size": 4,
    "model.peg": True,
    "model.downsample": "dense3",
    "model.drop_path_rate": 0.05,
    "augment.color_jitter": 0.2,
    "optimizer.learning_rate": 3e-3,
})  # fmt: skip
