"""A small RetinaNet on composed images of garments, on a laptop in less than an hour.

Command: python -m training.train --recipe quickstart_detection
Hardware: two CPU cores, 3 GiB of memory.
The images are composed of Fashion-MNIST as they are read: 2,000 to learn from and 500 to test, of
256 pixels, with three to eight garments that overlap. --smoke takes half a minute.
Cost: 51 minutes on two cores with AVX-512, beside other work.
Expected: an AP of 60.3% and an AP50 of 77.2% (seed 0).
"""

from training.recipes.dense import composed
from training.recipes.detection import Detection, DetectionRecipe
from training.recipes.sections import Schedule

RECIPE = DetectionRecipe(
    "quickstart_detection",
    **composed(),
    schedule=Schedule(epochs=18, every="step", warmup_epochs=1, min_learning_rate=0.0),
    detection=Detection(max_objects=8, width=64, tower_initializer="he_normal"),
)
