"""Stages of regional and local tokens with what Tables 10 to 13 switch.

B batch, H W size of the local map, C channels, M window size, Hr Wr regional grid.
"""

import keras
from keras import ops

from keras_regionvit.ablations.encoder import SwitchedEncoder
from keras_regionvit.ablations.overlap import cut, halo, mask_off_map, mean_of_copies
from keras_regionvit.checks.kinds import choice, flag
from keras_regionvit.layers.stage import RegionalToLocalStage
from keras_regionvit.ops.windows import pad


@keras.saving.register_keras_serializable(package="keras_regionvit")
class SwitchedStage(RegionalToLocalStage):
    """`RegionalToLocalStage` of `SwitchedEncoder`s.

    Args:
        weight_sharing: bool, see `SwitchedEncoder`.
        local_keys: "own" or "all", see `SwitchedEncoder`.
        relative_position: bool, see `SwitchedEncoder`.
        **kwargs: the arguments of `RegionalToLocalStage`.

    Example:

    >>> stage = SwitchedStage(96, 3, 7, weight_sharing=False)
    >>> maps = keras.ops.ones((2, 8, 8, 96)), keras.ops.ones((2, 56, 56, 96))
    >>> regional_tokens, local_tokens = stage(maps)
    """

    def __init__(
        self, *args, weight_sharing=True, local_keys="own", relative_position=True, **kwargs
    ):
        # before the encoders are made
        self.weight_sharing = flag("weight_sharing", weight_sharing)
        self.local_keys = choice("local_keys", local_keys, ("own", "all"))
        self.relative_position = flag("relative_position", relative_position)
        super().__init__(*args, **kwargs)

    def new_encoder(self, place, *args, **kwargs):
        """A `SwitchedEncoder`."""
        return SwitchedEncoder(
            *args,
            weight_sharing=self.weight_sharing,
            local_keys=self.local_keys,
            relative_position=self.relative_position,
            **kwargs,
        )

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "weight_sharing": self.weight_sharing,
            "local_keys": self.local_keys,
            "relative_position": self.relative_position,
        }


@keras.saving.register_keras_serializable(package="keras_regionvit")
class OverlappedStage(SwitchedStage):
    """`SwitchedStage` whose regions reach into their neighbours (paper, Table 13).

    For each encoder the map is cut into windows of `M + 2 * (M // 2)` tokens a side, M apart. The
    encoder runs on all tokens of each window, and a token that lies in several windows becomes
    the mean of its copies. Tokens off the map are no keys.

    Args:
        **kwargs: the arguments of `SwitchedStage`.

    Example:

    >>> stage = OverlappedStage(96, 3, 7)  # windows of 13
    >>> maps = keras.ops.ones((2, 8, 8, 96)), keras.ops.ones((2, 56, 56, 96))
    >>> regional_tokens, local_tokens = stage(maps)
    """

    def new_encoder(self, place, embed_dim, num_heads, window_size, *args, **kwargs):
        """A `SwitchedEncoder` of the wider window."""
        side = window_size + 2 * halo(window_size)
        return super().new_encoder(place, embed_dim, num_heads, side, *args, **kwargs)

    def call(self, inputs, training=False):
        """Maps `(regional_tokens, local_tokens)` to the same shapes."""
        regional, local = inputs
        shape, size = ops.shape(regional), ops.shape(local)[1:3]
        grid = shape[1:3]
        self.check_coverage(grid, size)
        rows, columns = (g * self.window_size - s for g, s in zip(grid, size, strict=True))
        mask = mask_off_map(size, grid, self.window_size)
        for i, encoder in enumerate(self.encoders):
            # (B, Hr, Wr, C) -> (B, R, C)
            tokens = ops.reshape(regional, (shape[0], grid[0] * grid[1], shape[3]))
            windows = cut(pad(local, 0, rows, 0, columns), grid, self.window_size)
            tokens, windows = self.run(encoder, (tokens, windows), mask, training)
            local = mean_of_copies(windows, grid, self.window_size)[:, : size[0], : size[1]]
            regional = ops.reshape(tokens, shape)  # (B, R, C) -> (B, Hr, Wr, C)
            if i == 0 and self.peg is not None:
                regional, local = self.peg(regional), self.peg(local)
        return regional, local
