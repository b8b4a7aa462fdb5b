"""Any folder of colour images, one sub-folder a class, at 224 pixels.

Command: python -m training.train --recipe folder --data /pictures
The folder holds train/CLASS/*.jpg and validation/CLASS/*.jpg, or only CLASS/*.jpg: then a part is
held out. `--weights imagenet` starts from the official weights, which a small set needs;
`--set image_size=...`, `epochs=...`, `batch_size=...` change the rest.
Hardware: one GPU; with a few thousand images two CPU cores do over night.
Cost: 100 epochs; two cores train some 8 images a second.
Expected: depends on the images. Not yet run here at length.
Augmentation and optimizer are those of `imagenet1k`, without instance repetition.
"""

from training.recipe import Recipe

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
