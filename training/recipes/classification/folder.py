"""Any folder of colour images, one sub-folder a class, at 224 pixels.

Command: python -m training.train --recipe folder --data /photos
The folder holds train/CLASS/*.jpg and validation/CLASS/*.jpg, or only CLASS/*.jpg: then a part is
held out. `--weights imagenet` starts from the official weights, which a small set needs;
`--set data.image_size=...`, `schedule.epochs=...`, `data.batch_size=...` change the rest.
Hardware: one GPU; with a few thousand images two CPU cores do over night.
Cost: 100 epochs; two cores train some 8 images a second.
Expected: depends on the images. Run so far: 1,240 windows of 31 photos to learn from and 310 of
other parts of them, each photo a class: 70.3% with seed 0 and
    --set model.variant= --set model.embed_dims=32,64,128,256 --set model.depths=1,1,2,1
    --set model.window_size=7,7,7,7 --set schedule.epochs=20 --set schedule.warmup_epochs=2
    --set data.batch_size=40 --set optimizer.learning_rate=1.28e-2
    --set augment.auto_augment= --set augment.mixup=0 --set augment.cutmix=0
Augmentation and optimizer are those of `imagenet1k`, without instance repetition.
"""

from training.recipes.classification import Classification, ClassificationRecipe
from training.recipes.sections import Augment, Data, Model, Schedule

RECIPE = ClassificationRecipe(
    "folder",
    Data("folder", batch_size=64),
    Model("tiny"),
    Augment(repeats=1),
    schedule=Schedule(epochs=100, every="step", warmup_epochs=5, min_learning_rate=1e-6),
    classification=Classification(classes=0),
)
