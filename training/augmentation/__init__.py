"""Augmentation as keras-cv layers, to timm's meaning of the settings.

`image_augmentation` and `batch_augmentation` are what recipes use; the layers serve any
`dataset.map`. See `layer.SeededLayer` for seeds.
"""

from training.augmentation.chain import batch_augmentation, image_augmentation
from training.augmentation.choice import RandAugment, RandomChoice
from training.augmentation.layer import SeededLayer
from training.augmentation.mixing import CutMix, MixUp
from training.augmentation.operations import OPERATIONS, RandomOperation
from training.augmentation.policy import Policy, parse_policy
from training.augmentation.simple import ColorJitter, RandomErasing, RandomFlip

__all__ = [
    "OPERATIONS",
    "ColorJitter",
    "CutMix",
    "MixUp",
    "Policy",
    "RandAugment",
    "RandomChoice",
    "RandomErasing",
    "RandomFlip",
    "RandomOperation",
    "SeededLayer",
    "batch_augmentation",
    "image_augmentation",
    "parse_policy",
]
