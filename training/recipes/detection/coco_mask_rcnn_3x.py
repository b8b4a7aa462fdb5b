"""Mask R-CNN on COCO 2017, 270,000 steps of many image sizes (section A.2).

Command: python -m training.train --recipe coco_mask_rcnn_3x --data /coco
Hardware: the paper used 8 GPUs.
Cost: not measured.
/coco is that of `coco_retinanet_3x`.
The shorter side is drawn from 480, 512, ..., 896 pixels; a random part of 672x1120 pixels, or
1120x672, shows of what exceeds that. Evaluation fits the whole image into it.
Expected: an AP of 46.3 for boxes and 42.3 for masks (Table 5); not yet run.
"""

from training.recipes.detection._coco import coco

RECIPE = coco(
    "coco_mask_rcnn_3x",
    canvas=(672, 1120),
    steps=270_000,
    epochs=36,
    milestones=(210_000, 250_000),
    scales=tuple(range(480, 897, 32)),
    shapes="masks",
)
