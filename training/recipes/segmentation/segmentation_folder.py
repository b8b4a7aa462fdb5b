"""A segmenter for a user's own photos, with a mask each, from trained weights.

Command: python -m training.train --recipe segmentation_folder --data FOLDER --weights imagenet
Hardware: a GPU of 16 GiB; less with --set data.batch_size=4.
FOLDER holds images and, under the same names, palette or grey PNGs whose values are classes; 255
is no class. --weights takes "imagenet", a `.pth` of the official release, or a run's
`model.keras`.
Cost: 30 epochs; not measured.
Expected: depends on the photos.
"""

from training.recipes.dense import NOT_DENSE
from training.recipes.sections import Augment, Data, Evaluate, Model, Optimizer, Schedule
from training.recipes.segmentation import Segmentation, SegmentationRecipe

RECIPE = SegmentationRecipe(
    "segmentation_folder",
    Data("folder", batch_size=8),
    Model(
        variant="small",
        pyramid_norm=True,
        drop_path_rate=0.2,
        weights="imagenet",
        needs_weights=True,
    ),
    Augment(**NOT_DENSE, color_jitter=0.2, flip=0.5),
    Optimizer(learning_rate=1e-4, base_batch_size=8, clip_norm=10.0),
    Schedule(epochs=30, every="step", warmup_epochs=1, min_learning_rate=1e-6),
    Evaluate(crop_ratio=1.0),
    segmentation=Segmentation(
        canvas=(448, 672),
        crop=448,
        least_scale=0.5,
        greatest_scale=2.0,
    ),
)
