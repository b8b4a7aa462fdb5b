"""A small RetinaNet on composed images of garments, on a laptop in less than an hour.

Command: python -m training.train --recipe quickstart_detection
Hardware: two CPU cores, 3 GiB of memory.
The images are composed of Fashion-MNIST as they are read: 2,000 to learn from and 500 to test, of
256 pixels, with three to eight garments that overlap. --smoke takes half a minute.
Cost: 51 minutes on two cores with AVX-512, beside other work.
Expected: an AP of 60.3% and an AP50 of 77.2% (seed 0).
"""

from training.recipes.dense import NOT_DENSE
from training.recipes.detection import Detection, DetectionRecipe
from training.recipes.sections import Augment, Data, Evaluate, Model, Optimizer, Schedule

RECIPE = DetectionRecipe(
    "quickstart_detection",
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
    Schedule(epochs=18, every="step", warmup_epochs=1, min_learning_rate=0.0),
    Evaluate(crop_ratio=1.0),
    detection=Detection(max_objects=8, width=64, tower_initializer="he_normal"),
)
