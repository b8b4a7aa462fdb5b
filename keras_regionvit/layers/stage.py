"""One stage of the pyramid: its encoders over a regional and a local map.

B batch, H W size of the local map, C channels, M window size, Hr Wr size of the regional grid,
R = Hr * Wr regions, T = 1 + M * M tokens a region.
"""

import keras
from keras import ops

from keras_regionvit.checks.kinds import flag, keep_checked
from keras_regionvit.layers.encoder import RegionalToLocalEncoder
from keras_regionvit.layers.peg import PEG
from keras_regionvit.ops.shapes import inferred, is_static
from keras_regionvit.ops.windows import cut_padded, join_cropped, padding_mask

ENCODER = "encoder{}"  # names of its layers, encoders counted from 1
PEG_NAME = "peg"


@keras.saving.register_keras_serializable(package="keras_regionvit")
class RegionalToLocalStage(keras.layers.Layer):
    """Cuts the local map into regions, runs the encoders, puts the map together again.

    A local map that does not fill the regional grid is padded with zeros at the bottom
    and right; the padded tokens are masked, live through the stage and are cut off.

    Args:
        embed_dim: int, channels C.
        num_heads: int, attention heads.
        window_size: int M, local tokens per region side.
        drop_path_rates: floats in [0, 1), one rate of stochastic depth an encoder; their number is
            the depth.
        mlp_ratio: float, hidden width of the feed-forward networks over C.
        qkv_bias: bool, whether query, key and value have a bias.
        peg: bool, whether a position encoding generator follows the first encoder.
        dropout_rate: float in [0, 1), dropout after each projection.
        attention_dropout_rate: float in [0, 1), dropout of the attention weights.
        gradient_checkpointing: bool, keep only the input of each encoder for the backward pass of
            training and compute the rest again: less memory, more time. Not with dropout, whose
            second draw would differ from the first.

    Input and output: `(regional_tokens, local_tokens)`, float, shapes (B, Hr, Wr, C) and
    (B, H, W, C) with H <= Hr * M and W <= Wr * M.

    Raises:
        ValueError: the regions do not cover the local map, or `gradient_checkpointing` meets
            dropout.

    Example:

    >>> stage = RegionalToLocalStage(96, 3, 7, drop_path_rates=(0.0, 0.1))
    >>> maps = keras.ops.ones((2, 8, 8, 96)), keras.ops.ones((2, 56, 56, 96))
    >>> regional_tokens, local_tokens = stage(maps)
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        window_size,
        drop_path_rates=(0.0,),
        mlp_ratio=4.0,
        qkv_bias=True,
        peg=False,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
        gradient_checkpointing=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        keep_checked(
            self,
            embed_dim=embed_dim,
            num_heads=num_heads,
            window_size=window_size,
            drop_path_rates=drop_path_rates,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            dropout_rate=dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
            gradient_checkpointing=gradient_checkpointing,
        )
        peg = flag("peg", peg)
        if gradient_checkpointing and (dropout_rate or attention_dropout_rate):
            raise ValueError(
                "`gradient_checkpointing` works with `drop_path_rate` but not with "
                f"`dropout_rate`={dropout_rate} or `attention_dropout_rate`="
                f"{attention_dropout_rate}, which must be 0."
            )
        dtype = self.dtype_policy
        self.encoders = [
            self.new_encoder(
                i,
                embed_dim,
                num_heads,
                window_size,
                mlp_ratio,
                qkv_bias,
                rate,
                dropout_rate,
                attention_dropout_rate,
                dtype=dtype,
                name=ENCODER.format(i),
            )
            for i, rate in enumerate(self.drop_path_rates, 1)
        ]
        self.peg = PEG(embed_dim, dtype=dtype, name=PEG_NAME) if peg else None

    def new_encoder(self, place, *args, **kwargs):
        """The encoder at a place, from 1; the stages of the ablations have others."""
        encoder = RegionalToLocalEncoder(*args, **kwargs)
        # a classifier reads no local tokens of the last one
        encoder.apart = place == len(self.drop_path_rates)
        return encoder

    def build(self, input_shape):
        """Creates the weights for maps of `input_shape`, a pair of shapes."""
        for encoder in self.encoders:
            encoder.build((None, None, self.embed_dim), (None, None, None, self.embed_dim))
        if self.peg is not None:
            self.peg.build((None, None, None, self.embed_dim))
        self.built = True

    def check_coverage(self, grid, size):
        """That the regions reach at least as far as the map.

        Args:
            grid: `(Hr, Wr)`.
            size: `(H, W)` of the local map.

        Raises:
            ValueError: they do not.
        """
        if is_static(*grid, *size) and any(
            g * self.window_size < s for g, s in zip(grid, size, strict=True)
        ):
            raise ValueError(
                f"{grid[0]}x{grid[1]} regions of window_size={self.window_size} do not cover a "
                f"local map of {size[0]}x{size[1]} tokens."
            )

    def call(self, inputs, training=False):
        """Maps `(regional_tokens, local_tokens)` to the same shapes."""
        regional, local = inputs
        batch, *grid, channels = inferred(ops.shape(regional))
        as_map, as_rows = (batch, *grid, channels), (batch, grid[0] * grid[1], channels)
        size = ops.shape(local)[1:3]
        self.check_coverage(grid, size)
        layout = (size, grid, self.window_size)
        mask = padding_mask(*layout)

        regional = ops.reshape(regional, as_rows)  # (B, Hr, Wr, C) -> (B, R, C)
        windows = cut_padded(local, *layout)
        for i, encoder in enumerate(self.encoders):
            regional, windows = self.run(encoder, (regional, windows), mask, training)
            if i == 0 and self.peg is not None:
                # (B, R, C) -> (B, Hr, Wr, C) -> (B, R, C)
                regional = ops.reshape(self.peg(ops.reshape(regional, as_map)), as_rows)
                windows = cut_padded(self.peg(join_cropped(windows, *layout)), *layout)
        return ops.reshape(regional, as_map), join_cropped(windows, *layout)

    def run(self, encoder, tokens, mask, training):
        """An encoder on its tokens, computed again in the backward pass if so asked.

        Args:
            encoder: one of `self.encoders`.
            tokens: tuple of the tensors that it takes.
            mask: optional bool (R, T, T), True = attend.
            training: bool, whether dropout and stochastic depth are active.

        Returns:
            What the encoder returns.
        """
        # drawn out here: a second computation in there must not draw again
        kept = encoder.draw(*tokens, training=training)

        count = len(tokens)

        def encode(*tensors):
            tokens, kept = tensors[:count], list(tensors[count:])
            return encoder(*tokens, attention_mask=mask, kept=kept, training=training)

        if self.gradient_checkpointing and training:
            encode = keras.remat(encode)
        return encode(*tokens, *kept)

    def compute_output_shape(self, input_shape):
        """The shapes of the inputs."""
        return tuple(tuple(shape) for shape in input_shape)

    def compute_output_spec(self, inputs, training=False):
        """Symbolic outputs: no backend traces the body with unknown sizes."""
        return tuple(keras.KerasTensor(x.shape, dtype=self.compute_dtype) for x in inputs)

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "num_heads": self.num_heads,
            "window_size": self.window_size,
            "drop_path_rates": self.drop_path_rates,
            "mlp_ratio": self.mlp_ratio,
            "qkv_bias": self.qkv_bias,
            "peg": self.peg is not None,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "gradient_checkpointing": self.gradient_checkpointing,
        }
