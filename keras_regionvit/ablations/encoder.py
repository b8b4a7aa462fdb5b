"""The regional-to-local encoder with what Tables 10 to 12 switch.

B batch, R regions, M window size, T = 1 + M * M tokens a region, C channels.
"""

import keras
from keras import ops

from keras_regionvit.ablations.attention import SwitchedAttention
from keras_regionvit.checks.kinds import flag, keep_checked
from keras_regionvit.layers.encoder import RegionalToLocalEncoder
from keras_regionvit.ops.streams import join, split


@keras.saving.register_keras_serializable(package="keras_regionvit")
class SwitchedEncoder(RegionalToLocalEncoder):
    """`RegionalToLocalEncoder` with other weights, keys or positions.

    Args:
        weight_sharing: bool, whether regional and local attention have one query, key, value and
            output projection (paper, Table 10).
        local_keys: "own", local attention over a region's own regional token and its local
            ones; or "all", over all regional tokens and its local ones (paper, Table 11): each
            region then attends with all of them, and its own goes on.
        relative_position: bool, whether there is a relative position bias (paper, Table 12).
        **kwargs: the arguments of `RegionalToLocalEncoder`.

    Example:

    >>> encoder = SwitchedEncoder(96, num_heads=3, window_size=7, local_keys="all")
    >>> regional, local = encoder(keras.ops.ones((2, 64, 96)), keras.ops.ones((2, 64, 49, 96)))
    """

    def __init__(
        self, *args, weight_sharing=True, local_keys="own", relative_position=True, **kwargs
    ):
        # before the attention is made
        self.relative_position = flag("relative_position", relative_position)
        super().__init__(*args, **kwargs)
        keep_checked(self, weight_sharing=weight_sharing, local_keys=local_keys)
        if not self.weight_sharing:
            self.regional_attention = SwitchedAttention(
                self.embed_dim,
                self.num_heads,
                self.window_size,
                self.qkv_bias,
                self.dropout_rate,
                self.attention_dropout_rate,
                relative_position=False,  # none among regional tokens
                dtype=self.dtype_policy,
                name="regional_attention",
            )

    def new_attention(self, *args, **kwargs):
        """The attention of the regions, and of the regional tokens where it is shared."""
        return SwitchedAttention(*args, relative_position=self.relative_position, **kwargs)

    def build(self, regional_shape, local_shape):
        """Creates the weights for tokens (B, R, C) and (B, R, M * M, C)."""
        super().build(regional_shape, local_shape)
        if not self.weight_sharing:
            self.regional_attention.build((None, None, None, self.embed_dim))

    def rsa(self, r, training):
        """`RSA(norm0(r))` of regional tokens (B, 1, R, C)."""
        attention = self.attention if self.weight_sharing else self.regional_attention
        return attention(self.regional_norm(r), training=training)

    def lsa(self, y, mask, training):
        """`LSA(norm1(y))` of regions (B, R, T, C)."""
        if self.local_keys == "own":
            return super().lsa(y, mask, training)
        own, local = split(y)
        regions = ops.shape(own)[1]
        # (B, R, 1, C) -> (B, R, R, C), all regional tokens in each region
        everyone = ops.repeat(ops.swapaxes(own, 1, 2), regions, axis=1)
        branch = super().lsa(join(everyone, local), _for_all_keys(mask, regions), training)
        # of all regional tokens each region's own goes on: the diagonal
        kept_own = ops.eye(regions, dtype=branch.dtype)[:, :, None]  # (R, R, 1)
        own = ops.sum(branch[:, :, :regions] * kept_own, axis=2, keepdims=True)
        return join(own, branch[:, :, regions:])

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "weight_sharing": self.weight_sharing,
            "local_keys": self.local_keys,
            "relative_position": self.relative_position,
        }


def _for_all_keys(mask, regions):
    """A mask (R, 1 + M*M, 1 + M*M) for regions that hold all R regional tokens."""
    if mask is None:
        return None
    # the row and the column of the regional token, R times
    index = ops.arange(regions + mask.shape[-1] - 1) - (regions - 1)
    index = ops.maximum(index, 0)
    return ops.take(ops.take(ops.convert_to_tensor(mask), index, axis=1), index, axis=2)
