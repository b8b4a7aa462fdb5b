"""The regional-to-local encoder (paper, equation 2).

B batch, R regions, M window size, T = 1 + M * M tokens a region, C channels.
"""

import keras
from keras import ops

from keras_regionvit.checks.kinds import keep_checked
from keras_regionvit.layers.attention import RegionAttention
from keras_regionvit.layers.drop_path import DropPath
from keras_regionvit.layers.layer_norm import LayerNorm
from keras_regionvit.layers.mlp import MLP
from keras_regionvit.ops.streams import add, among, each, join, split


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RegionalToLocalEncoder(keras.layers.Layer):
    """Regional attention, then local attention and feed-forward in each region.

    Regional and local attention are one attention under two norms. Stochastic depth
    acts per image on the former and per region on the rest.

    Args:
        embed_dim: int, channels C.
        num_heads: int, attention heads.
        window_size: int M, local tokens per region side.
        mlp_ratio: float, hidden width of the feed-forward network over C.
        qkv_bias: bool, whether query, key and value have a bias.
        drop_path_rate: float in [0, 1), probability of dropping a branch.
        dropout_rate: float in [0, 1), dropout after each projection.
        attention_dropout_rate: float in [0, 1), dropout of the attention weights.

    Input and output shapes: (B, R, C) and (B, R, M * M, C), float.

    Example:

    >>> encoder = RegionalToLocalEncoder(96, num_heads=3, window_size=7)
    >>> regional, local = encoder(keras.ops.ones((2, 64, 96)), keras.ops.ones((2, 64, 49, 96)))

    Source: paper, equation 2.
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
        keep_checked(
            self,
            embed_dim=embed_dim,
            num_heads=num_heads,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            drop_path_rate=drop_path_rate,
            dropout_rate=dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
        )
        self.apart = False  # whether regional and local tokens stay two tensors: `ops.streams`
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

    def call(self, regional, local, attention_mask=None, kept=None, training=False):
        """One encoder.

        Args:
            regional: regional tokens (B, R, C).
            local: local tokens by region (B, R, M * M, C).
            attention_mask: optional bool (R, T, T), True = attend.
            kept: optional draws of stochastic depth, as `draw` gives them.
            training: bool, whether dropout and stochastic depth are active.

        Returns:
            `(regional, local)` of the same shapes.
        """
        kept = self.draw(regional, local, training) if kept is None else kept
        keep_rsa, keep_lsa, keep_ffn = kept or (None, None, None)
        r = ops.expand_dims(regional, 1)  # (B, 1, R, C): one group of R tokens
        r = add(r, self.rsa(r, training), keep_rsa)  # r + RSA(norm0(r))
        r = ops.swapaxes(r, 1, 2)  # (B, R, 1, C): from here on each region is a group
        y = join(r, local, self.apart)  # [r ; l]
        z = add(y, self.lsa(y, attention_mask, training), keep_lsa)  # y + LSA(norm1(y))
        x = add(z, self.ffn(z, training), keep_ffn)  # z + FFN(norm2(z))
        regional, local = split(x)
        return ops.squeeze(regional, 2), local

    def rsa(self, r, training):
        """`RSA(norm0(r))` of regional tokens (B, 1, R, C): attention among all of an image."""
        return self.attention(self.regional_norm(r), training=training)

    def lsa(self, y, mask, training):
        """`LSA(norm1(y))` of regions (B, R, T, C): attention among the tokens of each."""
        attend, project = self.attention.attend, self.attention.project
        y = each(self.local_norm, y)
        y = among(lambda x: attend(x, local=True, mask=mask, training=training), y)
        return each(lambda x: project(x, training=training), y)

    def ffn(self, z, training):
        """`FFN(norm2(z))` of regions (B, R, T, C): each token by itself."""
        return each(lambda x: self.mlp(self.mlp_norm(x), training=training), z)

    def draw(self, regional, local, training=False):
        """The draws of stochastic depth for one call, to be handed to it as `kept`.

        Whoever computes the call twice, to save memory, draws once.

        Args:
            regional: regional tokens (B, R, C).
            local: local tokens by region (B, R, M * M, C).
            training: bool, whether anything is dropped.

        Returns:
            A list of the factors of the three branches, empty where nothing is dropped.
        """
        kept = [
            self.drop_regional.draw(ops.expand_dims(regional, 1), training),
            self.drop_local.draw(local, training),
            self.drop_mlp.draw(local, training),
        ]
        return [factor for factor in kept if factor is not None]

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
