"""A detector for a user's own photos: COCO JSON or VOC XML, from trained weights.

Command: python -m training.train --recipe detection_folder --data FOLDER --weights imagenet
Hardware: a GPU of 16 GiB; less with --set data.batch_size=4.
FOLDER is what COCO, VOC or labelling tools write: JSON beside or above the images, or an XML for
each. --weights takes "imagenet", a `.pth` of the official release, or a run's `model.keras`.
Cost: 30 epochs; not measured.
Expected: depends on the photos.
"""

from training.recipes.dense import NOT_DENSE
from training.recipes.detection import Detection, DetectionRecipe
from training.recipes.sections import Augment, Data, Evaluate, Model, Optimizer, Schedule

RECIPE = DetectionRecipe(
    "detection_folder",
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
    detection=Detection(
        max_objects=300,
        canvas=(640, 1024),
        least_scale=0.7,
        greatest_scale=1.4,
    ),
)
