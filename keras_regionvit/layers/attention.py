"""The one attention of an encoder: it holds the weights, `ops.attention` the mathematics.

B batch, G groups, T tokens a group, C channels, N heads, M window size.
"""

import keras
from keras import ops

from keras_regionvit.checks.kinds import keep_checked
from keras_regionvit.checks.models import check_heads
from keras_regionvit.layers.mlp import dropout_layer
from keras_regionvit.ops.attention import attend
from keras_regionvit.ops.position_bias import position_bias, position_index
from keras_regionvit.ops.shapes import on_rows


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RegionAttention(keras.layers.Layer):
    """The one attention that an encoder uses for regional and for local attention.

    Args:
        embed_dim: int, channels C, a multiple of `num_heads`.
        num_heads: int, N.
        window_size: int M, local tokens per region side.
        qkv_bias: bool, whether query, key and value have a bias.
        dropout_rate: float in [0, 1), dropout after the output projection.
        attention_dropout_rate: float in [0, 1), dropout of the attention weights.

    Input and output shape: (B, G, T, C), float.

    Raises:
        ValueError: `embed_dim` is no multiple of `num_heads`.

    Example:

    >>> attention = RegionAttention(96, num_heads=3, window_size=7)
    >>> attention(keras.ops.ones((2, 1, 64, 96))).shape                # regional
    (2, 1, 64, 96)
    >>> attention(keras.ops.ones((2, 64, 50, 96)), local=True).shape
    (2, 64, 50, 96)

    Source: paper, section 3 and equation 3.
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        window_size,
        qkv_bias=True,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        keep_checked(
            self,
            embed_dim=embed_dim,
            num_heads=num_heads,
            window_size=window_size,
            qkv_bias=qkv_bias,
            dropout_rate=dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
        )
        check_heads(self.embed_dim, self.num_heads)
        # timm's truncated normal cuts at 100 standard deviations: nothing is cut
        normal = keras.initializers.RandomNormal(stddev=0.02)
        dense = {"kernel_initializer": normal, "dtype": self.dtype_policy}
        self.qkv = keras.layers.Dense(
            3 * self.embed_dim, use_bias=self.qkv_bias, name="qkv", **dense
        )
        self.proj = keras.layers.Dense(self.embed_dim, name="proj", **dense)
        self.dropout = dropout_layer(self.dropout_rate, self.dtype_policy)
        self.attention_dropout = dropout_layer(self.attention_dropout_rate, self.dtype_policy)
        self.position_index = position_index(self.window_size)

    def build(self, input_shape):
        """Creates the weights for inputs of `input_shape` (B, G, T, C)."""
        self.qkv.build((None, self.embed_dim))
        self.proj.build((None, self.embed_dim))
        self.position_bias_table = self.add_weight(
            name="position_bias_table",
            shape=(self.num_heads, (2 * self.window_size - 1) ** 2),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        self.built = True

    def call(self, inputs, local=False, attention_mask=None, training=False):
        """Attention inside each group.

        Args:
            inputs: (B, G, T, C).
            local: bool, whether the groups are regions, of a regional and M * M local tokens:
                these have the position bias.
            attention_mask: optional bool (G, T, T), True = attend.
            training: bool, whether dropout is active.

        Returns:
            (B, G, T, C).
        """
        x = self.attend(inputs, local=local, mask=attention_mask, training=training)
        return self.project(x, training=training)

    def attend(self, inputs, local=False, mask=None, training=False):
        """`call` before the output projection, of which each token has its own."""
        bias = self.local_bias(ops.shape(inputs)[2]) if local else None
        dropout = None
        if training and self.attention_dropout:
            dropout = lambda weights: self.attention_dropout(weights, training=True)  # noqa: E731
        return attend(on_rows(self.qkv, inputs), self.num_heads, bias, mask, dropout)

    def local_bias(self, tokens):
        """The position bias (N, T, T) of regions of T `tokens`."""
        return position_bias(self.position_bias_table, self.position_index)

    def project(self, inputs, training=False):
        """The output projection of attended tokens (B, G, T, C)."""
        x = on_rows(self.proj, inputs)
        return self.dropout(x, training=True) if training and self.dropout else x

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "num_heads": self.num_heads,
            "window_size": self.window_size,
            "qkv_bias": self.qkv_bias,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
        }
