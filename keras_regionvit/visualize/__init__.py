"""Plots: learning curve, confusion matrix, and images with predictions, boxes or masks.

Figures are made without pyplot: nothing is shown by itself, nothing stays open, no display
is needed. In a notebook a returned figure displays itself. Needs matplotlib, the extra
`keras_regionvit[visualize]`, which is imported only when a figure is made.
"""

from keras_regionvit.visualize.boxes import plot_detections
from keras_regionvit.visualize.classification import plot_confusion_matrix, plot_predictions
from keras_regionvit.visualize.curves import plot_learning_curve
from keras_regionvit.visualize.masks import plot_masks

__all__ = [
    "plot_confusion_matrix",
    "plot_detections",
    "plot_learning_curve",
    "plot_masks",
    "plot_predictions",
]
