"""The regional-to-local encoder with what Tables 10 to 12 switch.

B batch, R regions, M window size, C channels.
"""

import keras
from keras import ops

from keras_regionvit.ablations.attention import SwitchedAttention
from keras_regionvit.layers.encoder import RegionalToLocalEncoder


@keras.saving.register_keras_serializable(package="keras_regionvit")
class SwitchedEncoder(RegionalToLocalEncoder):
    """`RegionalToLocalEncoder` with other weights, keys or positions.

    Args:
        weight_sharing: whether regional and local attention have one query, key, value and
            output projection (paper, Table 10).
        local_keys: "own", local attention over a region's own regional token and its local
            ones; or "all", over all regional tokens and its local ones (paper, Table 11): each
            region then attends with all of them, and its own goes on.
        relative_position: whether there is a relative position bias (paper, Table 12).
        **kwargs: the arguments of `RegionalToLocalEncoder`.

    Example:

    >>> encoder = SwitchedEncoder(96, num_heads=3, window_size=7, local_keys="all")
    >>> regional, local = encoder(keras.ops.ones((2, 64, 96)), keras.ops.ones((2, 64, 49, 96)))
    """

    def __init__(
        self, *args, weight_sharing=True, local_keys="own", relative_position=True, **kwargs
    ):
        self.relative_position = relative_position  # before the attention is made
        super().__init__(*args, **kwargs)
        self.weight_sharing, self.local_keys = weight_sharing, local_keys
        if not weight_sharing:
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

    def call(self, regional, local, attention_mask=None, kept=None, training=False):
        """One encoder; arguments and result are those of `RegionalToLocalEncoder`."""
        kept = self.draw(regional, local, training) if kept is None else kept
        keep_regional, keep_local, keep_mlp = kept or (1.0, 1.0, 1.0)
        among_regional = self.attention if self.weight_sharing else self.regional_attention
        regional = ops.expand_dims(regional, 1)  # one group of R tokens
        branch = among_regional(self.regional_norm(regional), training=training)
        regional = regional + branch * keep_regional

        own = ops.swapaxes(regional, 1, 2)  # (B, R, 1, C)
        if self.local_keys == "own":
            branch = self._attend(own, local, attention_mask, training)
        else:
            regions = ops.shape(own)[1]
            everyone = ops.repeat(regional, regions, axis=1)  # (B, R, R, C)
            mask = _for_all_keys(attention_mask, regions)
            branch = self._attend(everyone, local, mask, training)
            # of all regional tokens each region's own goes on: the diagonal
            kept_own = ops.eye(regions, dtype=branch.dtype)[:, :, None]  # (R, R, 1)
            own_branch = ops.sum(branch[:, :, :regions] * kept_own, axis=2, keepdims=True)
            branch = ops.concatenate([own_branch, branch[:, :, regions:]], axis=2)
        x = ops.concatenate([own, local], axis=2) + branch * keep_local
        x = x + self.mlp(self.mlp_norm(x), training=training) * keep_mlp
        return x[:, :, 0], x[:, :, 1:]

    def _attend(self, regional, local, mask, training):
        """The branch of local attention, of regions of regional and local tokens."""
        x = self.local_norm(ops.concatenate([regional, local], axis=2))
        return self.attention(x, local=True, attention_mask=mask, training=training)

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
