"""Augmentation as keras-cv layers, to timm's meaning of the settings.

`image_augmentation` and `batch_augmentation` are what recipes use; the layers serve any
`dataset.map`. See `layer.SeededLayer` for seeds, `placement.Placement` for boxes, masks and points
that follow an image, `frames.each_frame` for clips.
"""

from training.augmentation.chain import batch_augmentation, image_augmentation
from training.augmentation.choice import RandAugment, RandomChoice
from training.augmentation.frames import each_frame
from training.augmentation.layer import SeededLayer
from training.augmentation.mixing import CutMix, MixUp
from training.augmentation.operations import OPERATIONS, RandomOperation
from training.augmentation.placement import Placement
from training.augmentation.policy import Policy, parse_policy
from training.augmentation.simple import ColorJitter, RandomErasing, RandomFlip

__all__ = [
    "OPERATIONS",
    "ColorJitter",
    "CutMix",
    "MixUp",
    "Placement",
    "Policy",
    "RandAugment",
    "RandomChoice",
    "RandomErasing",
    "RandomFlip",
    "RandomOperation",
    "SeededLayer",
    "batch_augmentation",
    "each_frame",
    "image_augmentation",
    "parse_policy",
]
