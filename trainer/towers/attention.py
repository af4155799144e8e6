"""Attention with exact masks."""

from __future__ import annotations

import tensorflow as tf

from trainer.towers.dense import Dense, HeadsMatrix, LayerNormalization

_NEVER = -1e9


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Softmax over the last axis of `scores`, zero where `mask` is false, if it is true anywhere."""
    return tf.nn.softmax(scores + _never(mask, scores.dtype), axis=-1)


def _never(mask: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """What keeps a score out of a softmax where `mask` is false; a sum's gradient costs nothing, a choice's does."""
    return tf.where(mask, tf.constant(0, dtype), tf.constant(_NEVER, dtype))


def query_attention(queries: tf.Tensor, rows: tf.Tensor, mask: tf.Tensor, zero_vector: bool) -> tf.Tensor:
    """softmax(Q . R^T) R: what each query vector finds in the rows.

    Args:
      queries: `[B, g, d]`.
      rows: `[B, n, d]`.
      mask: bool `[B, n]`, which rows are there.
      zero_vector: whether a zero row stands in front, by which a query can ignore all others.

    Returns:
      `[B, g, d]`, zeros where there is no row.
    """
    scores = tf.matmul(queries, rows, transpose_b=True)
    return tf.matmul(_weights(scores, mask[:, None], zero_vector), rows)


def grouped_attention(queries: tf.Tensor, rows: tf.Tensor, mask: tf.Tensor, zero_vector: bool) -> tf.Tensor:
    """The sum over groups of rows of what each query vector finds in each group.

    Args:
      queries: `[B, g, d]`.
      rows: `[B, k, n, d]`; each of the k groups has a softmax, and a zero row, of its own.
      mask: bool `[B, n]`, which rows of every group are there.
      zero_vector: as in `query_attention`.

    Returns:
      `[B, g, d]`.
    """
    scores = tf.einsum("bgd,bknd->bgkn", queries, rows)
    return tf.einsum("bgkn,bknd->bgd", _weights(scores, mask[:, None, None], zero_vector), rows)


def _weights(scores: tf.Tensor, mask: tf.Tensor, zero_vector: bool) -> tf.Tensor:
    """Softmax over the last axis, zero where `mask` is false; the zero row takes its share and is left out."""
    if not zero_vector:
        return masked_softmax(scores, mask) * tf.cast(mask, scores.dtype)
    in_front = [[0, 0]] * (scores.shape.rank - 1) + [[1, 0]]  # its score is q . 0 = 0, and it adds nothing to the sum
    return tf.nn.softmax(tf.pad(scores + _never(mask, scores.dtype), in_front), axis=-1)[..., 1:]


class SelfAttention(tf.keras.layers.Layer):
    """Multi-head self-attention over rows among which some are not there."""

    def __init__(self, dim: int, heads: int, name: str) -> None:
        super().__init__(name=name)
        if dim % heads:
            raise ValueError(f"{name}: {heads} heads do not divide {dim} dimensions")
        size = dim // heads
        self._scale = size**-0.5
        self._project = HeadsMatrix([dim, 3 * dim], [dim, 3, heads, size], "bnd,dkhs->bnkhs", "query_key_value")
        self._output = HeadsMatrix([dim, dim], [heads, size, dim], "bnhs,hsd->bnd", "output")

    def call(self, rows: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """`[B, n, d]`, of which those in `mask` `[B, n]` are there -> `[B, n, d]`."""
        query, key, value = tf.unstack(self._project(rows), axis=2)
        scores = tf.einsum("bnhs,bmhs->bhnm", query * self._scale, key)
        return self._output(tf.einsum("bhnm,bmhs->bnhs", masked_softmax(scores, mask[:, None, None]), value))


class TransformerBlock(tf.keras.layers.Layer):
    """Self-attention and a feed-forward layer, each with its residual and its norm; learned positions."""

    def __init__(self, dim: int, heads: int, hidden: int, longest: int, name: str) -> None:
        super().__init__(name=name)
        self._attention = SelfAttention(dim, heads, "attention")
        self._norms = [LayerNormalization(name=f"norm_{place}") for place in ("met", "fed")]
        self._hidden = Dense(hidden, "relu", name="hidden")
        self._output = Dense(dim, name="output")
        self._positions = self.add_weight(f"{name}/positions", [longest, dim], initializer="zeros")

    def call(self, rows: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """`[B, n, d]`, of which those in `mask` `[B, n]` are there -> `[B, n, d]`."""
        there = tf.cast(mask, tf.int32)
        places = there * tf.cumsum(there, axis=1, exclusive=True)  # a place that holds nothing counts for none
        rows = rows + tf.gather(tf.cast(self._positions, rows.dtype), places)
        met = self._norms[0](rows + self._attention(rows, mask))
        return self._norms[1](met + self._output(self._hidden(met)))
