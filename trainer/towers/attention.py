"""Attention with exact masks."""

from __future__ import annotations

import tensorflow as tf

_NEVER = -1e9


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Softmax over the last axis of `scores`, zero where `mask` is false, also if it is false everywhere."""
    present = tf.cast(mask, scores.dtype)
    weights = tf.nn.softmax(scores * present + _NEVER * (1 - present), axis=-1)
    return weights * present


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
    return grouped_attention(queries, rows, mask, 1, zero_vector)


def grouped_attention(
    queries: tf.Tensor, rows: tf.Tensor, mask: tf.Tensor, groups: int, zero_vector: bool
) -> tf.Tensor:
    """The sum over groups of rows of what each query vector finds in each group, as two matrix products.

    Args:
      queries: `[B, g, d]`.
      rows: `[B, groups * n, d]`, group by group.
      mask: bool `[B, groups * n]`.
      groups: each has a softmax, and a zero row, of its own.
      zero_vector: as in `query_attention`.

    Returns:
      `[B, g, d]`.
    """
    scores = tf.matmul(queries, rows, transpose_b=True)
    mask = tf.broadcast_to(mask[:, None, :], tf.shape(scores))
    apart = tf.stack([tf.shape(scores)[0], queries.shape[1], groups, tf.shape(rows)[1] // groups])
    weights = tf.reshape(scores, apart)
    mask = tf.reshape(mask, apart)
    if zero_vector:  # its score is q . 0 = 0, and it adds nothing to the sum
        weights = tf.pad(weights, [[0, 0], [0, 0], [0, 0], [1, 0]])
        mask = tf.pad(mask, [[0, 0], [0, 0], [0, 0], [1, 0]], constant_values=True)
    weights = masked_softmax(weights, mask)
    if zero_vector:
        weights = weights[..., 1:]
    return tf.matmul(tf.reshape(weights, tf.shape(scores)), rows)


class SelfAttention(tf.keras.layers.Layer):
    """Multi-head self-attention over rows that are packed until they meet."""

    def __init__(self, dim: int, heads: int, name: str) -> None:
        super().__init__(name=name)
        if dim % heads:
            raise ValueError(f"{name}: {heads} heads do not divide {dim} dimensions")
        self._heads, self._size = heads, dim // heads
        self._project = tf.keras.layers.Dense(3 * dim, use_bias=False, name="query_key_value")
        self._output = tf.keras.layers.Dense(dim, use_bias=False, name="output")

    def call(self, rows: tf.RaggedTensor) -> tf.RaggedTensor:
        """`[B, (n), d]` -> `[B, (n), d]`."""
        together = rows.with_values(self._project(rows.values)).to_tensor()
        mask = tf.sequence_mask(rows.row_lengths())
        batch, longest = tf.shape(together)[0], tf.shape(together)[1]
        together = tf.reshape(together, [batch, longest, 3, self._heads, self._size])
        query, key, value = tf.unstack(tf.transpose(together, [2, 0, 3, 1, 4]))  # each [B, heads, n, size]
        scores = tf.matmul(query, key, transpose_b=True) * self._size**-0.5
        met = tf.matmul(masked_softmax(scores, mask[:, None, None, :]), value)
        packed = tf.boolean_mask(tf.transpose(met, [0, 2, 1, 3]), mask)
        return rows.with_values(self._output(tf.reshape(packed, [-1, self._heads * self._size])))


class TransformerBlock(tf.keras.layers.Layer):
    """Self-attention and a feed-forward layer, each with its residual and its norm; learned positions."""

    def __init__(self, dim: int, heads: int, hidden: int, longest: int, name: str) -> None:
        super().__init__(name=name)
        self._attention = SelfAttention(dim, heads, "attention")
        self._norms = [tf.keras.layers.LayerNormalization(name=f"norm_{place}") for place in ("met", "fed")]
        self._hidden = tf.keras.layers.Dense(hidden, "relu", name="hidden")
        self._output = tf.keras.layers.Dense(dim, name="output")
        self._positions = self.add_weight(f"{name}/positions", [longest, dim], initializer="zeros")

    def call(self, rows: tf.RaggedTensor) -> tf.RaggedTensor:
        """`[B, (n), d]` -> `[B, (n), d]`."""
        places = tf.ragged.range(rows.row_lengths()).values
        values = rows.values + tf.gather(tf.cast(self._positions, rows.dtype), places)
        met = self._norms[0](values + self._attention(rows.with_values(values)).values)
        return rows.with_values(self._norms[1](met + self._output(self._hidden(met))))
