"""The feed-forward network of an encoder.

C channels, D hidden channels.
"""

import keras
from keras import ops

from keras_regionvit.checks.kinds import LARGEST, keep_checked
from keras_regionvit.ops.gelu import gelu_dense, plain_gelu
from keras_regionvit.ops.shapes import on_rows


def dropout_layer(rate, dtype):
    """A dropout layer, or `None` where nothing is dropped: each takes a millisecond to make."""
    return None if rate == 0 else keras.layers.Dropout(rate, dtype=dtype)


def hidden_dim(embed_dim, ratio):
    """The channels D, at least one; otherwise a `ValueError`."""
    if not 1 <= embed_dim * ratio <= LARGEST:
        raise ValueError(
            "`mlp_ratio` must leave at least one hidden channel and no more than fit a tensor. "
            f"Received: {ratio} times {embed_dim} channels"
        )
    return int(embed_dim * ratio)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class MLP(keras.layers.Layer):
    """Dense -> exact GELU -> Dense.

    Args:
        embed_dim: int, channels C of input and output.
        ratio: float, hidden width D over C (paper, Table 2: 4).
        dropout_rate: float in [0, 1), dropout after each Dense.

    Input and output shape: (..., C), float.

    Example:

    >>> MLP(96)(keras.ops.ones((2, 49, 96))).shape
    (2, 49, 96)
    """

    def __init__(self, embed_dim, ratio=4.0, dropout_rate=0.0, **kwargs):
        super().__init__(**kwargs)
        keep_checked(self, embed_dim=embed_dim, ratio=ratio, dropout_rate=dropout_rate)
        self.hidden_dim = hidden_dim(self.embed_dim, self.ratio)
        normal = keras.initializers.RandomNormal(stddev=0.02)
        dense = {"kernel_initializer": normal, "dtype": self.dtype_policy}
        self.fc1 = keras.layers.Dense(self.hidden_dim, name="fc1", **dense)
        self.fc2 = keras.layers.Dense(self.embed_dim, name="fc2", **dense)
        self.dropout = dropout_layer(self.dropout_rate, self.dtype_policy)

    def build(self, input_shape):
        """Creates the weights for inputs of `input_shape` (..., C)."""
        self.fc1.build((None, self.embed_dim))
        self.fc2.build((None, self.hidden_dim))
        self.built = True

    def call(self, inputs, training=False):
        """Maps (..., C) to (..., C)."""
        return on_rows(lambda rows: self._feed_forward(rows, training), inputs)

    def _feed_forward(self, rows, training):
        """Maps (rows, C) to (rows, C)."""
        x = self.fc1(rows)
        if training and self.dropout:
            x = self.dropout(plain_gelu(x), training=True)
            return self.dropout(self.fc2(x), training=True)
        lean = training and keras.backend.backend() == "tensorflow"
        if not lean or self.fc2.quantization_mode is not None:
            return self.fc2(plain_gelu(x))
        kernel, bias = (ops.cast(weight, x.dtype) for weight in (self.fc2.kernel, self.fc2.bias))
        return gelu_dense(x, kernel, bias)

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "ratio": self.ratio,
            "dropout_rate": self.dropout_rate,
        }
