"""The layers of RegionViT; each is registered, serialisable and runs on every Keras backend."""

from keras_regionvit.layers.attention import RegionAttention
from keras_regionvit.layers.downsample import Downsampling
from keras_regionvit.layers.drop_path import DropPath
from keras_regionvit.layers.encoder import RegionalToLocalEncoder
from keras_regionvit.layers.mlp import MLP
from keras_regionvit.layers.peg import PEG
from keras_regionvit.layers.stage import RegionalToLocalStage
from keras_regionvit.layers.tokenizers import LocalTokenizer, RegionalTokenizer

__all__ = [
    "MLP",
    "PEG",
    "Downsampling",
    "DropPath",
    "LocalTokenizer",
    "RegionAttention",
    "RegionalToLocalEncoder",
    "RegionalToLocalStage",
    "RegionalTokenizer",
]
