"""Transfers a RegionViT trained on ImageNet-1K to ChestX-ray8, several findings an image.

Command: python -m training.train --recipe transfer_chestxray8 --weights imagenet --data /xray
Hardware: the paper used 32 GPUs; one GPU with `--set data.batch_size=128` (the rate follows).
Cost: 1,000 epochs of about 86,500 images at 224 pixels.
Expected: the paper's Table 4b prints 57.8 and 58.3 and names no metric. Not yet run here.
Source: Table A1, column Transfer: SGD, peak 0.01 at 768 images, weight decay 1e-4, no erasing, no
stochastic depth. The text of section A.1 says "the same data augmentation" as on ImageNet-1K; the
table is followed. Momentum 0.9 with a look ahead is timm's "sgd".
The images come from lists: the folder holds train.csv and test.csv. The metric is the area under
the ROC curve, averaged over the findings; an image without any is a row without labels.
"""

from training.recipes.classification._transfer import transfer

RECIPE = transfer("transfer_chestxray8", "csv", classes=14, multi_label=True)
