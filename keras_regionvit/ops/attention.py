"""Multi-head self-attention inside groups of tokens.

B batch, G groups, T tokens a group, C channels, N heads, D = C / N channels a head.

Regional attention is one group of R tokens, local attention is R groups of 1 + M * M tokens:
one function serves both (paper, section 3).
"""

import keras
from keras import ops

from keras_regionvit.ops.shapes import inferred, is_static

# Far below any logit, yet finite: a row without any key stays finite through the softmax.
MASKED = -1e30


def attend(qkv, num_heads, bias=None, mask=None, dropout=None):
    """Scaled dot-product attention inside each group (paper, equation 3).

    Args:
        qkv: float tensor (B, G, T, 3C), ordered query, key, value, then head, then channel.
        num_heads: int, N.
        bias: optional tensor (N, T, T), added to the logits of all groups.
        mask: optional bool tensor or array (G, T, T), True = attend.
        dropout: optional function applied to the attention weights (N, B * G, T, T).

    Returns:
        A tensor (B, G, T, C) of the dtype of `qkv`; logits and softmax are at least float32.

    Example:

    >>> attend(keras.ops.ones((2, 64, 50, 3 * 96)), num_heads=3).shape
    (2, 64, 50, 96)
    """
    batch, groups, tokens, _ = inferred(ops.shape(qkv))
    head_dim = qkv.shape[-1] // (3 * num_heads)
    shape = (batch, groups, tokens, num_heads * head_dim)
    # (B, G, T, 3C) -> (B*G, T, 3, N, D)
    qkv = ops.reshape(qkv, (-1, tokens, 3, num_heads, head_dim))
    if keras.backend.backend() == "torch" and mask is None and dropout is None and tokens != 1:
        return ops.reshape(_attend_in_one(qkv, bias), shape)
    # -> (3, N, B*G, T, D). With the heads first oneDNN adds the bias within the product (inference
    # of Small in graph mode is 1.03 times as fast, with windows of 14 1.08 times), and at rank 4
    # other runtimes know the pattern as attention.
    query, key, value = ops.unstack(ops.transpose(qkv, (2, 3, 0, 1, 4)), 3)
    if is_static(tokens) and tokens == 1:  # a single key: its weight is one
        x = value
    else:
        logits = _logits(query, key, bias)
        if mask is not None:
            # (N, B*G, T, T) -> (N, B, G, T, T) and back
            logits = ops.reshape(logits, (num_heads, batch, groups, tokens, tokens))
            logits = ops.where(mask, logits, MASKED)
            logits = ops.reshape(logits, (num_heads, -1, tokens, tokens))
        weights = ops.cast(ops.softmax(logits, axis=-1), value.dtype)
        weights = weights if dropout is None else dropout(weights)
        x = ops.einsum("ngqk,ngkd->ngqd", weights, value)
    return ops.reshape(ops.transpose(x, (1, 2, 0, 3)), shape)  # (N, B*G, T, D) -> (B, G, T, C)


def _logits(query, key, bias):
    """(N, B*G, T, T), at least float32, of queries and keys (N, B*G, T, D) and a bias."""
    logits = ops.einsum("ngqd,ngkd->ngqk", query, key)
    logits = ops.cast(logits, keras.backend.result_type(logits.dtype, "float32"))
    logits = logits * query.shape[-1] ** -0.5
    if bias is None:
        return logits
    return logits + ops.cast(ops.expand_dims(bias, 1), logits.dtype)  # (N, T, T) -> (N, 1, T, T)


def _attend_in_one(qkv, bias):
    """Attention in PyTorch's one operation, from (B*G, T, 3, N, D) to (B*G, T, N, D)."""
    bias = None if bias is None else ops.expand_dims(bias, 0)  # (1, N, T, T)
    return ops.dot_product_attention(*ops.unstack(qkv, 3, axis=2), bias=bias)
