"""A segmenter for a user's own photos, with a mask each, from trained weights.

Command: python -m training.train --recipe segmentation_folder --data FOLDER --weights imagenet
Hardware: a GPU of 16 GiB; less with --set data.batch_size=4.
FOLDER holds images and, under the same names, palette or grey PNGs whose values are classes; 255
is no class. --weights takes "imagenet", a `.pth` of the official release, or a run's
`model.keras`.
Cost: 30 epochs; not measured.
Expected: depends on the photos.
"""

from training.recipes.dense import photos
from training.recipes.segmentation import Segmentation, SegmentationRecipe

RECIPE = SegmentationRecipe(
    "segmentation_folder",
    **photos(),
    segmentation=Segmentation(
        canvas=(448, 672),
        crop=448,
        least_scale=0.5,
        greatest_scale=2.0,
    ),
)
