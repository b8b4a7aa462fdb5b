"""Transfers a RegionViT trained on ImageNet-1K to the Oxford-IIIT Pets.

Command: python -m training.train --recipe transfer_pets --weights imagenet
Hardware: the paper used 32 GPUs; one GPU with `--set data.batch_size=128` (the rate follows).
Cost: 1,000 epochs of 3,680 images at 224 pixels.
Expected: the paper's Table 4b prints 95.3 and 95.5 for its two RegionViT models. Not yet run here.
Source: Table A1, column Transfer: SGD, peak 0.01 at 768 images, weight decay 1e-4, no erasing, no
stochastic depth. The text of section A.1 says "the same data augmentation" as on ImageNet-1K; the
table is followed. Momentum 0.9 with a look ahead is timm's "sgd".
"""

from training.recipes.classification._transfer import transfer

RECIPE = transfer("transfer_pets", "tfds:oxford_iiit_pet", classes=37)
