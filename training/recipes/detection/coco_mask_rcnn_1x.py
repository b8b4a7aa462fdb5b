"""Mask R-CNN on COCO 2017, 90,000 steps of one image size (section A.2).

Command: python -m training.train --recipe coco_mask_rcnn_1x --data /coco
Hardware: the paper used 8 GPUs.
Cost: not measured.
/coco is that of `coco_retinanet_1x`.
Images fill 672x1120 pixels, or 1120x672, in training and in evaluation. Other backbones: --set
model.variant=base, with position encoding generators --set model.peg=true.
Expected: an AP of 42.5 for boxes and 39.5 for masks (Table 5); not yet run.
"""

from training.recipes.detection._coco import coco

RECIPE = coco(
    "coco_mask_rcnn_1x",
    canvas=(672, 1120),
    steps=90_000,
    epochs=12,
    milestones=(60_000, 80_000),
    keep_aspect=False,
    shapes="masks",
)
