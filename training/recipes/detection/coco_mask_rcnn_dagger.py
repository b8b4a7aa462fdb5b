"""Mask R-CNN with RegionViT-B+ and PEG on COCO 2017 at 896x1344 pixels, the paper's largest.

Command: python -m training.train --recipe coco_mask_rcnn_dagger --data /coco
Hardware: the paper used 8 GPUs.
Cost: not measured.
As `coco_mask_rcnn_3x`, on a larger canvas.
Expected: an AP of 49.2 for boxes and 44.5 for masks (Table A3); not yet run.
"""

from training.recipes.detection._coco import coco

RECIPE = coco(
    "coco_mask_rcnn_dagger",
    canvas=(896, 1344),
    steps=270_000,
    epochs=36,
    milestones=(210_000, 250_000),
    variant="base_w14",
    peg=True,
    scales=tuple(range(480, 897, 32)),
    shapes="masks",
)
