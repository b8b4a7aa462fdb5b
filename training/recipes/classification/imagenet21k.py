"""RegionViT on ImageNet-21K from scratch, to be fine-tuned later.

Command: python -m training.train --recipe imagenet21k --data /lists
The images come from lists: the folder holds train.csv and validation.csv.
Hardware: the paper used 32 GPUs.
Cost: 120 epochs of about 14 million images, some 4.4 times `imagenet1k`.
Expected: the paper gives no accuracy before fine-tuning. Not yet run here.
Source: Table A1, column IN21K: weight decay 0.01, peak 0.001 at 4,096 images, 5 epochs of warm-up;
21,841 classes.
"""

from training.recipes.classification import Classification, ClassificationRecipe
from training.recipes.sections import Data, Optimizer, Schedule

RECIPE = ClassificationRecipe(
    "imagenet21k",
    Data("csv"),
    optimizer=Optimizer(learning_rate=0.001, base_batch_size=4096, weight_decay=0.01),
    schedule=Schedule(epochs=120, warmup_epochs=5),
    classification=Classification(classes=21841),
)
