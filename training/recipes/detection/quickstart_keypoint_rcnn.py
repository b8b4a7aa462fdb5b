"""A small Keypoint R-CNN on composed images of garments, on a laptop in less than an hour.

Command: python -m training.train --recipe quickstart_keypoint_rcnn
Hardware: two CPU cores, 4 GiB of memory.
The images are those of `quickstart_detection`; the keypoints are the four corners of a
garment's silhouette, all garments are of one class. --smoke takes a minute.
Cost: not measured.
Expected: not yet run to its end.
"""

from training.recipes.dense import composed
from training.recipes.detection import Detection, DetectionRecipe
from training.recipes.sections import Schedule

RECIPE = DetectionRecipe(
    "quickstart_keypoint_rcnn",
    **composed(),
    schedule=Schedule(epochs=16, every="step", warmup_epochs=1, min_learning_rate=0.0),
    detection=Detection(
        max_objects=8,
        shapes="keypoints",
        keypoint_width=64,
        proposals=200,
        training_proposals=300,
        regions=64,
        head_width=256,
        width=64,
    ),
)
