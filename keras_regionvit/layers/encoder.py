"""The regional-to-local encoder (paper, equation 2)."""

import keras
from keras import ops

from keras_regionvit.layers.attention import RegionAttention
from keras_regionvit.layers.drop_path import DropPath
from keras_regionvit.layers.mlp import MLP
from keras_regionvit.ops.layer_norm import LayerNorm


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RegionalToLocalEncoder(keras.layers.Layer):
    """Regional attention, then local attention and feed-forward in each region.

    Regional and local attention are one attention under two norms. Stochastic depth
    acts per image on the former and per region on the rest.

    Args:
        embed_dim: channels C.
        num_heads: attention heads.
        window_size: M, local tokens per region side.
        mlp_ratio: hidden width of the feed-forward network over C.
        qkv_bias: whether query, key and value have a bias.
        drop_path_rate: probability of dropping a branch.
        dropout_rate: dropout after each projection.
        attention_dropout_rate: dropout of the attention weights.

    Example:

    >>> encoder = RegionalToLocalEncoder(96, num_heads=3, window_size=7)
    >>> regional, local = encoder(keras.ops.ones((2, 64, 96)), keras.ops.ones((2, 64, 49, 96)))
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        window_size,
        mlp_ratio=4.0,
        qkv_bias=True,
        drop_path_rate=0.0,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.embed_dim, self.num_heads, self.window_size = embed_dim, num_heads, window_size
        self.mlp_ratio, self.qkv_bias = mlp_ratio, qkv_bias
        self.drop_path_rate, self.dropout_rate = drop_path_rate, dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.apart = False  # a stage sets it where local tokens may go unread
        dtype = self.dtype_policy
        norm = {"epsilon": 1e-6, "dtype": dtype}
        self.regional_norm = LayerNorm(name="regional_norm", **norm)
        self.local_norm = LayerNorm(name="local_norm", **norm)
        self.mlp_norm = LayerNorm(name="mlp_norm", **norm)
        self.attention = self.new_attention(
            embed_dim,
            num_heads,
            window_size,
            qkv_bias,
            dropout_rate,
            attention_dropout_rate,
            dtype=dtype,
            name="attention",
        )
        self.mlp = MLP(embed_dim, mlp_ratio, dropout_rate, dtype=dtype, name="mlp")
        self.drop_regional = DropPath(drop_path_rate, dtype=dtype, name="drop_regional")
        self.drop_local = DropPath(drop_path_rate, axes=2, dtype=dtype, name="drop_local")
        self.drop_mlp = DropPath(drop_path_rate, axes=2, dtype=dtype, name="drop_mlp")

    def new_attention(self, *args, **kwargs):
        """The attention of an encoder; those of the ablations have another."""
        return RegionAttention(*args, **kwargs)

    def build(self, regional_shape, local_shape):
        """Creates the weights for tokens (B, R, C) and (B, R, M * M, C)."""
        for layer in (self.regional_norm, self.local_norm, self.mlp_norm, self.mlp):
            layer.build((None, self.embed_dim))
        self.attention.build((None, None, None, self.embed_dim))
        self.built = True

    def draw(self, regional, local, training=False):
        """The draws of stochastic depth for one call, to be handed to it as `kept`.

        Whoever computes the call twice, to save memory, draws once.

        Args:
            regional: regional tokens (B, R, C).
            local: local tokens by region (B, R, M * M, C).
            training: whether anything is dropped.

        Returns:
            A list of the factors of the three branches, empty where nothing is dropped.
        """
        kept = [
            self.drop_regional.draw(ops.expand_dims(regional, 1), training),
            self.drop_local.draw(local, training),
            self.drop_mlp.draw(local, training),
        ]
        return [factor for factor in kept if factor is not None]

    def call(self, regional, local, attention_mask=None, kept=None, training=False):
        """One encoder.

        Args:
            regional: regional tokens (B, R, C).
            local: local tokens by region (B, R, M * M, C).
            attention_mask: optional boolean (R, T, T) with T = 1 + M * M, True = attend.
            kept: optional draws of stochastic depth, as `draw` gives them.
            training: whether dropout and stochastic depth are active.

        Returns:
            `(regional, local)` of the same shapes.
        """
        kept = self.draw(regional, local, training) if kept is None else kept
        keep_regional, keep_local, keep_mlp = kept or (None, None, None)
        regional = ops.expand_dims(regional, 1)  # one group of R tokens
        branch = self.attention(self.regional_norm(regional), training=training)
        (regional,) = _add([regional], [branch], keep_regional)

        # From here on each region is a group. Its regional and local tokens meet in the
        # attention alone: apart, what nobody reads of the local ones is not computed.
        streams = [ops.swapaxes(regional, 1, 2), local]  # (B, R, 1, C), (B, R, M*M, C)
        if not self.apart:
            streams = [ops.concatenate(streams, axis=2)]  # (B, R, T, C)
        normed = [self.local_norm(x) for x in streams]
        normed = ops.concatenate(normed, axis=2) if self.apart else normed[0]
        attended = self.attention.attend(normed, local=True, mask=attention_mask, training=training)
        attended = _split(attended) if self.apart else [attended]
        branches = [self.attention.project(x, training=training) for x in attended]
        streams = _add(streams, branches, keep_local)

        branches = [self.mlp(self.mlp_norm(x), training=training) for x in streams]
        streams = _add(streams, branches, keep_mlp)
        regional, local = streams if self.apart else _split(*streams)
        return ops.squeeze(regional, 2), local

    def compute_output_shape(self, regional_shape, local_shape):
        """The shapes of the inputs."""
        return regional_shape, local_shape

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "num_heads": self.num_heads,
            "window_size": self.window_size,
            "mlp_ratio": self.mlp_ratio,
            "qkv_bias": self.qkv_bias,
            "drop_path_rate": self.drop_path_rate,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
        }


def _split(tokens):
    """Regional (B, R, 1, C) and local tokens (B, R, M*M, C) of regions of both."""
    return ops.split(tokens, [1], axis=2)  # its gradient is a concatenation


def _add(streams, branches, kept):
    """Residual sums; the factor of each sample in `kept` is one for all streams."""
    if kept is not None:
        branches = [branch * kept for branch in branches]
    return [x + branch for x, branch in zip(streams, branches, strict=True)]
