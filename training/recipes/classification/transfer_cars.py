"""Transfers a RegionViT trained on ImageNet-1K to the Stanford Cars.

Command: python -m training.train --recipe transfer_cars --weights imagenet --data /cars
Hardware: the paper used 32 GPUs; one GPU with `--set data.batch_size=128` (the rate follows).
Cost: 1,000 epochs of 8,144 images at 224 pixels.
Expected: the paper's Table 4b prints 92.8 and 91.9 for its two RegionViT models. Not yet run here.
Source: Table A1, column Transfer: SGD, peak 0.01 at 768 images, weight decay 1e-4, no erasing, no
stochastic depth. The text of section A.1 says "the same data augmentation" as on ImageNet-1K; the
table is followed. Momentum 0.9 with a look ahead is timm's "sgd".
The set's own address is gone: the images come from a folder with train/CLASS/ and test/CLASS/.
"""

from training.recipes.classification._transfer import transfer

RECIPE = transfer("transfer_cars", "folder", classes=196)
