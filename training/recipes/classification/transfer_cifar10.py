"""Transfers a RegionViT trained on ImageNet-1K to CIFAR-10.

Command: python -m training.train --recipe transfer_cifar10 --weights imagenet
Hardware: the paper used 32 GPUs; one GPU with `--set data.batch_size=128` (the rate follows).
Cost: 1,000 epochs of 50,000 images at 224 pixels.
Expected: the paper's Table 4b prints 98.9 and 99.0 for its two RegionViT models. Not yet run here.
Source: Table A1, column Transfer: SGD, peak 0.01 at 768 images, weight decay 1e-4, no erasing, no
stochastic depth. The text of section A.1 says "the same data augmentation" as on ImageNet-1K; the
table is followed. Momentum 0.9 with a look ahead is timm's "sgd".
"""

from training.recipes.classification._transfer import transfer

RECIPE = transfer("transfer_cifar10", "tfds:cifar10", classes=10)
