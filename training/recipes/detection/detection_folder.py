"""A detector for a user's own photos: COCO JSON or VOC XML, from trained weights.

Command: python -m training.train --recipe detection_folder --data FOLDER --weights imagenet
Hardware: a GPU of 16 GiB; less with --set data.batch_size=4.
FOLDER is what COCO, VOC or labelling tools write: JSON beside or above the images, or an XML for
each. --weights takes "imagenet", a `.pth` of the official release, or a run's `model.keras`.
Cost: 30 epochs; not measured.
Expected: depends on the photos.
"""

from training.recipes.dense import photos
from training.recipes.detection import Detection, DetectionRecipe

RECIPE = DetectionRecipe(
    "detection_folder",
    **photos(),
    detection=Detection(
        max_objects=300,
        canvas=(640, 1024),
        least_scale=0.7,
        greatest_scale=1.4,
    ),
)
