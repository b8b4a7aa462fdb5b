"""Models as TensorFlow SavedModels, to be served without this package."""

from keras_regionvit.export.model_card import LABELS, read_card
from keras_regionvit.export.saved_model import export_saved_model
from keras_regionvit.images.preprocessing import Preprocessing

__all__ = ["LABELS", "Preprocessing", "export_saved_model", "read_card"]
