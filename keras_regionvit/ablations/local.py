"""Encoders and stages without regional tokens (paper, Tables 8 and A5).

B batch, H W size of the local map, C channels, M window size, Hr Wr regional grid, R regions.
"""

import keras
from keras import ops

from keras_regionvit.ablations.attention import SwitchedAttention
from keras_regionvit.checks.kinds import flag, keep_checked
from keras_regionvit.layers.drop_path import DropPath
from keras_regionvit.layers.layer_norm import LayerNorm
from keras_regionvit.layers.mlp import MLP
from keras_regionvit.layers.stage import RegionalToLocalStage
from keras_regionvit.ops.streams import add
from keras_regionvit.ops.windows import cut_padded, join_cropped, padding_mask


@keras.saving.register_keras_serializable(package="keras_regionvit")
class LocalEncoder(keras.layers.Layer):
    """Attention and feed-forward inside each region, and nothing between regions.

    Stochastic depth acts per region.

    Args:
        embed_dim: int, channels C.
        num_heads: int, attention heads.
        window_size: int M, local tokens per region side.
        mlp_ratio: float, hidden width of the feed-forward network over C.
        qkv_bias: bool, whether query, key and value have a bias.
        drop_path_rate: float in [0, 1), probability of dropping a branch.
        dropout_rate: float in [0, 1), dropout after each projection.
        attention_dropout_rate: float in [0, 1), dropout of the attention weights.
        relative_position: bool, whether there is a relative position bias.

    Input and output shape: (B, R, M * M, C), float.

    Example:

    >>> LocalEncoder(96, num_heads=3, window_size=7)(keras.ops.ones((2, 64, 49, 96))).shape
    (2, 64, 49, 96)
    """

    epsilon = 1e-6
    drop_axes = 2

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
        *,
        relative_position=True,
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
            relative_position=relative_position,
        )
        dtype = self.dtype_policy
        norm = {"epsilon": self.epsilon, "dtype": dtype}
        self.local_norm = LayerNorm(name="local_norm", **norm)
        self.mlp_norm = LayerNorm(name="mlp_norm", **norm)
        self.attention = SwitchedAttention(
            embed_dim,
            num_heads,
            window_size,
            qkv_bias,
            dropout_rate,
            attention_dropout_rate,
            relative_position=relative_position,
            dtype=dtype,
            name="attention",
        )
        self.mlp = MLP(embed_dim, mlp_ratio, dropout_rate, dtype=dtype, name="mlp")
        drop = {"rate": drop_path_rate, "axes": self.drop_axes, "dtype": dtype}
        self.drop_local = DropPath(name="drop_local", **drop)
        self.drop_mlp = DropPath(name="drop_mlp", **drop)

    def build(self, input_shape):
        """Creates the weights for tokens of C channels."""
        for layer in (self.local_norm, self.mlp_norm, self.mlp):
            layer.build((None, self.embed_dim))
        self.attention.build((None, None, None, self.embed_dim))
        self.built = True

    def draw(self, tokens, training=False):
        """The draws of stochastic depth for one call, to be handed to it as `kept`."""
        kept = [drop.draw(tokens, training) for drop in (self.drop_local, self.drop_mlp)]
        return [factor for factor in kept if factor is not None]

    def call(self, inputs, attention_mask=None, kept=None, training=False):
        """One encoder.

        Args:
            inputs: local tokens as the shape above says.
            attention_mask: optional bool (R, M * M, M * M), True = attend.
            kept: optional draws of stochastic depth, as `draw` gives them.
            training: bool, whether dropout and stochastic depth are active.

        Returns:
            A tensor of the shape of `inputs`.
        """
        kept = self.draw(inputs, training) if kept is None else kept
        keep_local, keep_mlp = kept or (None, None)
        x = inputs
        x = add(x, self.attend(self.local_norm(x), attention_mask, training), keep_local)
        return add(x, self.mlp(self.mlp_norm(x), training=training), keep_mlp)

    def attend(self, inputs, mask, training):
        """The attention of normed tokens."""
        return self.attention(inputs, local=True, attention_mask=mask, training=training)

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
            "mlp_ratio": self.mlp_ratio,
            "qkv_bias": self.qkv_bias,
            "drop_path_rate": self.drop_path_rate,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "relative_position": self.relative_position,
        }


@keras.saving.register_keras_serializable(package="keras_regionvit")
class LocalStage(RegionalToLocalStage):
    """A stage of `LocalEncoder`s; as many regions as cover the map, whatever its size.

    Args:
        relative_position: bool, whether there is a relative position bias.
        **kwargs: the arguments of `RegionalToLocalStage`.

    Input and output: `(local_tokens,)`, of the shape (B, H, W, C).

    Example:

    >>> (local_tokens,) = LocalStage(96, 3, 7)((keras.ops.ones((2, 56, 50, 96)),))
    """

    def __init__(self, *args, relative_position=True, **kwargs):
        # before the encoders are made
        self.relative_position = flag("relative_position", relative_position)
        super().__init__(*args, **kwargs)

    def new_encoder(self, place, *args, **kwargs):
        """A `LocalEncoder`."""
        return LocalEncoder(*args, relative_position=self.relative_position, **kwargs)

    def build(self, input_shape):
        """Creates the weights for maps of C channels."""
        for encoder in self.encoders:
            encoder.build((None, None, None, self.embed_dim))
        if self.peg is not None:
            self.peg.build((None, None, None, self.embed_dim))
        self.built = True

    def call(self, inputs, training=False):
        """Maps `(local_tokens,)` to the same shape."""
        (local,) = inputs
        size, window = ops.shape(local)[1:3], self.window_size
        grid = tuple((s + window - 1) // window for s in size)
        layout = (size, grid, window)
        mask = padding_mask(*layout)
        mask = None if mask is None else mask[:, 1:, 1:]  # without the regional token
        windows = cut_padded(local, *layout)
        for i, encoder in enumerate(self.encoders):
            windows = self.run(encoder, (windows,), mask, training)
            if i == 0 and self.peg is not None:
                windows = cut_padded(self.peg(join_cropped(windows, *layout)), *layout)
        return (join_cropped(windows, *layout),)

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "relative_position": self.relative_position}
