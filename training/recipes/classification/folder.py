"""Any folder of colour images, one sub-folder a class, at 224 pixels.

Command: python -m training.train --recipe folder --data /pictures
The folder holds train/CLASS/*.jpg and validation/CLASS/*.jpg, or only CLASS/*.jpg: then a part is
held out. `--weights imagenet` starts from the official weights, which a small set needs;
`--set image_size=...`, `epochs=...`, `batch_size=...` change the rest.
Hardware: one GPU; with a few thousand images two CPU cores do over night.
Cost: 100 epochs; two cores train some 8 images a second.
Expected: depends on the images. Run so far: 1,240 windows of 31 photos to learn from and 310 of
other parts of them, each photo a class; `--set variant= --set embed_dims=32,64,128,256 --set
depths=1,1,2,1 --set window_size=7,7,7,7 --set epochs=20 --set batch_size=40 --set warmup_epochs=2
--set learning_rate=1.28e-2 --set auto_augment= --set mixup=0 --set cutmix=0`: 70.3%, seed 0.
Augmentation and optimizer are those of `imagenet1k`, without instance repetition.
"""

from training.recipes.schema import Recipe

RECIPE = Recipe(
    "folder",
    data="folder",
    classes=0,
    variant="tiny",
    epochs=100,
    batch_size=64,
    warmup_epochs=5,
    floor_rate=1e-6,
    schedule="step",
    repeats=1,
)
