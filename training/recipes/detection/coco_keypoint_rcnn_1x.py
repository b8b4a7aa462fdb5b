"""Keypoint R-CNN with RegionViT-S+ and PEG on the persons of COCO 2017 (section A.2).

Command: python -m training.train --recipe coco_keypoint_rcnn_1x --data /coco
Hardware: the paper used 8 GPUs.
Cost: not measured.
/coco holds `annotations/person_keypoints_{train,val}2017.json`, `train2017` and `val2017`. There
are 90,000 steps; images fill 672x1120 pixels, or 1120x672, in training and in evaluation.
Expected: an AP of 56.0 for boxes and 66.1 for keypoints (Table A4); not yet run.
"""

from training.recipes.detection._coco import coco

RECIPE = coco(
    "coco_keypoint_rcnn_1x",
    canvas=(672, 1120),
    steps=90_000,
    epochs=12,
    milestones=(60_000, 80_000),
    keep_aspect=False,
    variant="small_w14",
    peg=True,
    classes=1,
    shapes="keypoints",
    training_proposals=1500,
)
