"""The feed-forward network of an encoder."""

import keras
from keras import ops

from keras_regionvit.ops.gelu import gelu, gelu_dense
from keras_regionvit.ops.windows import inferred


def on_rows(layer, inputs):
    """`layer` on the last axis of `inputs`, given to it as the rows of one matrix.

    Dense on more axes reshapes between product and bias; on a matrix the runtime fuses product,
    bias and activation.

    Args:
        layer: maps (rows, C) to (rows, D).
        inputs: (..., C).

    Returns:
        (..., D).
    """
    shape = inferred(ops.shape(inputs))
    outputs = layer(ops.reshape(inputs, (-1, shape[-1])))  # (..., C) -> (rows, C)
    return ops.reshape(outputs, (*shape[:-1], outputs.shape[-1]))


def dropout_layer(rate, dtype):
    """A dropout layer, or None where nothing is dropped: each layer takes a millisecond to make."""
    return None if rate == 0 else keras.layers.Dropout(rate, dtype=dtype)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class MLP(keras.layers.Layer):
    """Dense -> exact GELU -> Dense.

    Args:
        embed_dim: channels C of input and output.
        ratio: hidden width over C (paper, Table 2: 4).
        dropout_rate: dropout after each Dense.

    Input and output shape: (..., C).

    Example:

    >>> MLP(96)(keras.ops.ones((2, 49, 96))).shape
    (2, 49, 96)
    """

    def __init__(self, embed_dim, ratio=4.0, dropout_rate=0.0, **kwargs):
        super().__init__(**kwargs)
        self.embed_dim, self.ratio, self.dropout_rate = embed_dim, ratio, dropout_rate
        self.hidden_dim = int(embed_dim * ratio)
        normal = keras.initializers.RandomNormal(stddev=0.02)
        dense = {"kernel_initializer": normal, "dtype": self.dtype_policy}
        self.fc1 = keras.layers.Dense(self.hidden_dim, name="fc1", **dense)
        self.fc2 = keras.layers.Dense(embed_dim, name="fc2", **dense)
        self.dropout = dropout_layer(dropout_rate, self.dtype_policy)

    def build(self, input_shape):
        """Creates the weights for inputs of `input_shape` (..., C)."""
        self.fc1.build((None, self.embed_dim))
        self.fc2.build((None, self.hidden_dim))
        self.built = True

    def call(self, inputs, training=False):
        """Maps (..., C) to (..., C)."""
        return on_rows(lambda rows: self._feed_forward(rows, training), inputs)

    def _feed_forward(self, rows, training):
        x = self.fc1(rows)
        if training and self.dropout:
            x = self.dropout(gelu(x), training=True)
            return self.dropout(self.fc2(x), training=True)
        return gelu_dense(x, self.fc2, training)

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
