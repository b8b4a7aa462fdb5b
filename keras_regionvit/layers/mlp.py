"""The feed-forward network of an encoder."""

import keras
from keras import ops


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
        normal = keras.initializers.TruncatedNormal(stddev=0.02)
        dense = {"kernel_initializer": normal, "dtype": self.dtype_policy}
        self.fc1 = keras.layers.Dense(self.hidden_dim, name="fc1", **dense)
        self.fc2 = keras.layers.Dense(embed_dim, name="fc2", **dense)
        self.dropout = keras.layers.Dropout(dropout_rate, dtype=self.dtype_policy)

    def build(self, input_shape):
        """Creates the weights for inputs of `input_shape` (..., C)."""
        self.fc1.build((None, self.embed_dim))
        self.fc2.build((None, self.hidden_dim))
        self.built = True

    def call(self, inputs, training=False):
        """Maps (..., C) to (..., C)."""
        x = ops.gelu(self.fc1(inputs), approximate=False)
        x = self.dropout(x, training=training)
        return self.dropout(self.fc2(x), training=training)

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
