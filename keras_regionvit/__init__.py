"""RegionViT, the vision transformer with regional-to-local attention, for Keras 3."""

from keras_regionvit import visualize
from keras_regionvit.backbone import RegionViTBackbone
from keras_regionvit.imagenet import decode_predictions, preprocess_input
from keras_regionvit.models import (
    RegionViTBase,
    RegionViTBasePlus,
    RegionViTMedium,
    RegionViTMediumPlus,
    RegionViTSmall,
    RegionViTSmallPlus,
    RegionViTTiny,
    RegionViTTinyPlus,
)
from keras_regionvit.tasks.classification import build_classifier
from keras_regionvit.tasks.detection.keypoint_rcnn import KeypointRCNN
from keras_regionvit.tasks.detection.mask_rcnn import MaskRCNN
from keras_regionvit.tasks.detection.retinanet import RetinaNet
from keras_regionvit.tasks.segmentation import SemanticFPN
from keras_regionvit.variants import list_models
from keras_regionvit.version import VERSION
from keras_regionvit.weights.loading import load_official_weights, official_state_dict

__version__ = VERSION

__all__ = [
    "KeypointRCNN",
    "MaskRCNN",
    "RegionViTBackbone",
    "RegionViTBase",
    "RegionViTBasePlus",
    "RegionViTMedium",
    "RegionViTMediumPlus",
    "RegionViTSmall",
    "RegionViTSmallPlus",
    "RegionViTTiny",
    "RegionViTTinyPlus",
    "RetinaNet",
    "SemanticFPN",
    "build_classifier",
    "decode_predictions",
    "list_models",
    "load_official_weights",
    "official_state_dict",
    "preprocess_input",
    "visualize",
]
