"""Fine-tunes a trained RegionViT on ImageNet-1K at 384 pixels.

Command: python -m training.train --recipe finetune384 --weights runs/imagenet21k/model.keras
Hardware: the paper used 32 GPUs.
Cost: 30 epochs of 1,281,167 images, each some 3.4 times the work of one at 224.
Expected: 86.5 with base_plus and weights from ImageNet-21K (the paper's Table 4a). Not yet run
here.
Source: Table A1, column "Finetune to IN1K@384". Its peak rate of 0.0002 is used; the text of
section A.1 says 0.002. Windows grow with the image, so that the regional tokens stay as many:
7 becomes 12, the Plus models' (14, 14, 14, 7) become (24, 24, 24, 12); the regional kernel and the
position bias tables are resized (bicubic). Evaluation crops the centre 384 of a shorter side of
384.
"""

from training.recipes.classification import ClassificationRecipe
from training.recipes.sections import Data, Evaluate, Model, Optimizer, Schedule

RECIPE = ClassificationRecipe(
    "finetune384",
    Data("tfds:imagenet2012", image_size=384, batch_size=1024),
    Model(needs_weights=True),
    optimizer=Optimizer(learning_rate=0.0002, base_batch_size=1024, weight_decay=1e-8),
    schedule=Schedule(epochs=30, warmup_epochs=0),
    evaluate=Evaluate(crop_ratio=1.0),
)
