"""Plots of a training: learning curve, confusion matrix, predictions on images.

Figures are made without pyplot: nothing is shown by itself, nothing stays open, no display
is needed. In a notebook a returned figure displays itself. Needs matplotlib, the extra
`keras_regionvit[visualize]`, which is imported only when a figure is made.
"""

from keras_regionvit.visualize.classification import plot_confusion_matrix, plot_predictions
from keras_regionvit.visualize.curves import plot_learning_curve

__all__ = ["plot_confusion_matrix", "plot_learning_curve", "plot_predictions"]
