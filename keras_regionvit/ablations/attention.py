"""Attention with any number of regional tokens before the local ones, with a bias or without.

N heads, M window size, T tokens a region of which the last M * M are local.
"""

import keras
from keras import ops

from keras_regionvit.checks.kinds import keep_checked
from keras_regionvit.layers.attention import RegionAttention


@keras.saving.register_keras_serializable(package="keras_regionvit")
class SwitchedAttention(RegionAttention):
    """`RegionAttention` whose regions hold none, one or many regional tokens.

    Args:
        relative_position: bool, whether there is a relative position bias (paper, Table 12).
        **kwargs: the arguments of `RegionAttention`.

    Input and output shape: (B, G, T, C), float.

    Example:

    >>> attention = SwitchedAttention(96, num_heads=3, window_size=7, relative_position=False)
    >>> attention(keras.ops.ones((2, 64, 49, 96)), local=True).shape
    (2, 64, 49, 96)
    """

    def __init__(self, *args, relative_position=True, **kwargs):
        super().__init__(*args, **kwargs)
        keep_checked(self, relative_position=relative_position)

    def build(self, input_shape):
        """Creates the weights for inputs of `input_shape` (B, G, T, C)."""
        if self.relative_position:
            super().build(input_shape)
            return
        self.qkv.build((None, self.embed_dim))
        self.proj.build((None, self.embed_dim))
        self.built = True

    def local_bias(self, tokens):
        """The bias (N, T, T), zero wherever a regional token takes part, or `None`."""
        if not self.relative_position:
            return None
        between_local = self.position_index[1:, 1:]
        bias = ops.take(self.position_bias_table, between_local, axis=1)  # (N, M*M, M*M)
        regional = tokens - len(between_local)
        return ops.pad(bias, [(0, 0), (regional, 0), (regional, 0)])

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "relative_position": self.relative_position}
