"""Multi-head self-attention inside groups of tokens, and the layer that holds its weights.

B batch, G groups, T tokens a group, C channels, N heads, D = C / N channels a head.

Regional attention is one group of R tokens, local attention is R groups of 1 + M * M:
one function and one set of weights serve both (paper, section 3).
"""

import keras
from keras import ops

from keras_regionvit.layers.mlp import dropout_layer, on_rows
from keras_regionvit.ops.position_bias import position_bias, position_index
from keras_regionvit.ops.windows import inferred, is_static

# Far below any logit, yet finite: a row without any key stays finite through the softmax.
MASKED = -1e30


def attend(qkv, num_heads, bias=None, mask=None, dropout=None):
    """Scaled dot-product attention inside each group (paper, equation 3).

    Args:
        qkv: (B, G, T, 3C), ordered query, key, value, then head, then channel.
        num_heads: N.
        bias: optional (N, T, T), added to the logits of all groups.
        mask: optional boolean (G, T, T), True = attend.
        dropout: optional function applied to the attention weights.

    Returns:
        (B, G, T, C) of the dtype of `qkv`; logits and softmax are at least float32.
    """
    batch, groups, tokens, _ = inferred(ops.shape(qkv))
    head_dim = qkv.shape[-1] // (3 * num_heads)
    # (B, G, T, 3C) -> (B*G, T, 3, N, D)
    qkv = ops.reshape(qkv, (-1, tokens, 3, num_heads, head_dim))
    if keras.backend.backend() == "torch" and mask is None and dropout is None and tokens != 1:
        return _fused(qkv, bias, (batch, groups, tokens, num_heads * head_dim))
    # -> (3, N, B*G, T, D): with the heads first oneDNN adds the bias in the product, and at
    # rank 4 runtimes know the pattern as attention
    query, key, value = ops.unstack(ops.transpose(qkv, (2, 3, 0, 1, 4)), 3)
    if is_static(tokens) and tokens == 1:  # a single key: its weight is one
        x = value
    else:
        logits = ops.einsum("ngqd,ngkd->ngqk", query, key)
        logits = ops.cast(logits, keras.backend.result_type(logits.dtype, "float32"))
        logits = logits * head_dim**-0.5
        if bias is not None:
            # (N, T, T) -> (N, 1, T, T)
            logits = logits + ops.cast(ops.expand_dims(bias, 1), logits.dtype)
        if mask is not None:
            # (N, B*G, T, T) -> (N, B, G, T, T) and back
            logits = ops.reshape(logits, (num_heads, batch, groups, tokens, tokens))
            logits = ops.where(mask, logits, MASKED)
            logits = ops.reshape(logits, (num_heads, -1, tokens, tokens))
        weights = ops.cast(ops.softmax(logits, axis=-1), value.dtype)
        weights = weights if dropout is None else dropout(weights)
        x = ops.einsum("ngqk,ngkd->ngqd", weights, value)
    # (N, B*G, T, D) -> (B, G, T, C)
    x = ops.transpose(x, (1, 2, 0, 3))
    return ops.reshape(x, (batch, groups, tokens, num_heads * head_dim))


def _fused(qkv, bias, shape):
    """Attention in PyTorch's one operation, from (B*G, T, 3, N, D) to tokens of `shape`."""
    bias = None if bias is None else ops.expand_dims(bias, 0)  # (1, N, T, T)
    return ops.reshape(ops.dot_product_attention(*ops.unstack(qkv, 3, axis=2), bias=bias), shape)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RegionAttention(keras.layers.Layer):
    """The one attention that an encoder uses for regional and for local attention.

    Args:
        embed_dim: channels C, a multiple of `num_heads`.
        num_heads: N.
        window_size: M, local tokens per region side.
        qkv_bias: whether query, key and value have a bias.
        dropout_rate: dropout after the output projection.
        attention_dropout_rate: dropout of the attention weights.

    Input and output shape: (B, G, T, C).

    Example:

    >>> attention = RegionAttention(96, num_heads=3, window_size=7)
    >>> attention(keras.ops.ones((2, 1, 64, 96))).shape                # regional
    (2, 1, 64, 96)
    >>> attention(keras.ops.ones((2, 64, 50, 96)), local=True).shape
    (2, 64, 50, 96)
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
        if embed_dim % num_heads:
            raise ValueError(
                "`embed_dim` must be a multiple of `num_heads`. "
                f"Received: embed_dim={embed_dim}, num_heads={num_heads}"
            )
        self.embed_dim, self.num_heads, self.window_size = embed_dim, num_heads, window_size
        self.qkv_bias, self.dropout_rate = qkv_bias, dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        # timm's truncated normal cuts at 100 standard deviations: nothing is cut
        normal = keras.initializers.RandomNormal(stddev=0.02)
        dense = {"kernel_initializer": normal, "dtype": self.dtype_policy}
        self.qkv = keras.layers.Dense(3 * embed_dim, use_bias=qkv_bias, name="qkv", **dense)
        self.proj = keras.layers.Dense(embed_dim, name="proj", **dense)
        self.dropout = dropout_layer(dropout_rate, self.dtype_policy)
        self.attention_dropout = dropout_layer(attention_dropout_rate, self.dtype_policy)
        self.position_index = position_index(window_size)

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
            local: whether the groups are regions, of a regional and M * M local tokens:
                these have the position bias.
            attention_mask: optional boolean (G, T, T), True = attend.
            training: whether dropout is active.

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
