"""What dense tasks do to an image before the backbone sees it.

B images, H W their pixels, K channels.
"""

import keras
import numpy as np
from keras import ops

from keras_regionvit.imagenet import MEAN, STD
from keras_regionvit.ops.windows import pad


@keras.saving.register_keras_serializable(package="keras_regionvit")
class PixelNormalization(keras.layers.Layer):
    """`(image - mean) / std`, in float32.

    The statistics are weights that do not train, so that a file of weights brings its own: those
    of the released detectors are not ImageNet's.

    Args:
        channels: int K; of ImageNet's statistics with three, else 127.5 and 127.5 to begin with.

    Input shape: (B, H, W, K), pixels on 0..255. Output shape: the same, float32.

    Example:

    >>> PixelNormalization()(images)
    """

    def __init__(self, channels=3, **kwargs):
        super().__init__(trainable=False, **{"dtype": "float32", **kwargs})
        self.channels = channels
        mean, std = (MEAN, STD) if channels == 3 else ([127.5] * channels,) * 2
        self.mean = self._statistic("mean", mean)
        self.std = self._statistic("std", std)

    def _statistic(self, name, values):
        values = np.array(values, "float32")
        return self.add_weight(
            values.shape, lambda shape, dtype: ops.cast(values, dtype), trainable=False, name=name
        )

    def call(self, inputs):
        """The normalised image."""
        return (ops.cast(inputs, "float32") - self.mean) / self.std

    def compute_output_shape(self, input_shape):
        """The same."""
        return input_shape

    def get_config(self):
        """The arguments of the constructor."""
        config = {**super().get_config(), "channels": self.channels}
        del config["trainable"]
        return config


@keras.saving.register_keras_serializable(package="keras_regionvit")
class PadToMultiple(keras.layers.Layer):
    """Zeros at the bottom and right, up to a multiple of `divisor` pixels on each side.

    So each map of the pyramid has exactly half the size of the one before.

    Args:
        divisor: int, such as 32, the stride of the last stage.

    Input shape: (B, H, W, K). Output shape: (B, H', W', K).

    Example:

    >>> PadToMultiple(32)(keras.ops.ones((1, 100, 130, 3))).shape
    TensorShape([1, 128, 160, 3])
    """

    def __init__(self, divisor=32, **kwargs):
        super().__init__(**kwargs)
        self.divisor = divisor

    def call(self, inputs):
        """The image with its zeros."""
        _, height, width, _ = ops.shape(inputs)
        return pad(inputs, 0, self._lacking(height), 0, self._lacking(width))

    def _lacking(self, size):
        # not `-size % divisor`, shorter: tf2onnx 1.17 gets remainders of negative numbers wrong
        return (self.divisor - size % self.divisor) % self.divisor

    def compute_output_shape(self, input_shape):
        """Rounded up where it is known."""
        sizes = (s if s is None else s + self._lacking(s) for s in input_shape[1:3])
        return (input_shape[0], *sizes, input_shape[3])

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "divisor": self.divisor}
