"""Attention with exact masks."""

from __future__ import annotations

import tensorflow as tf

from trainer.towers.layer_norm import LayerNormalization
from trainer.towers.sequences import AnySequences

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
    _, groups, each, dim = rows.shape
    every = tf.reshape(rows, [-1, groups * each, dim])
    scores = tf.reshape(tf.matmul(queries, every, transpose_b=True), [-1, queries.shape[1], groups, each])
    weights = _weights(scores, mask[:, None, None], zero_vector)
    return tf.matmul(tf.reshape(weights, [-1, queries.shape[1], groups * each]), every)


def _weights(scores: tf.Tensor, mask: tf.Tensor, zero_vector: bool) -> tf.Tensor:
    """Softmax over the last axis, zero where `mask` is false; the zero row takes its share and is left out."""
    if not zero_vector:
        return masked_softmax(scores, mask) * tf.cast(mask, scores.dtype)
    in_front = [[0, 0]] * (scores.shape.rank - 1) + [[1, 0]]  # its score is q . 0 = 0, and it adds nothing to the sum
    return tf.nn.softmax(tf.pad(scores + _never(mask, scores.dtype), in_front), axis=-1)[..., 1:]


class _Heads(tf.keras.layers.Layer):
    """Multi-head self-attention within sequences, but for the matrix behind it."""

    def __init__(self, dim: int, heads: int, name: str) -> None:
        super().__init__(name=name)
        if dim % heads:
            raise ValueError(f"{name}: {heads} heads do not divide {dim} dimensions")
        self._heads, self._size = heads, dim // heads
        self._project = tf.keras.layers.Dense(3 * dim, use_bias=False, name="query_key_value")
        self._output = tf.keras.layers.Dense(dim, use_bias=False, name="output")

    def build(self, shape: tf.TensorShape) -> None:
        """Makes the matrices."""
        for matrix in (self._project, self._output):
            with tf.name_scope(matrix.name):
                matrix.build(shape)
        super().build(shape)

    def _side_by_side(self, rows: tf.Tensor, sequences: AnySequences) -> tf.Tensor:
        """What the heads find for each place: `[u, T, d]` of rows `[n, d]`."""
        query, key, value = tf.unstack(sequences.by_head(self._project(rows), 3, self._heads))  # [u, heads, T, size]
        scores = tf.matmul(query * self._size**-0.5, key, transpose_b=True)
        found = tf.matmul(masked_softmax(scores, sequences.mask[:, None, None]), value)
        longest = tf.shape(sequences.mask)[1]
        return tf.reshape(tf.transpose(found, [0, 2, 1, 3]), [-1, longest, self._heads * self._size])


class SelfAttention(_Heads):
    """Multi-head self-attention within sequences."""

    def call(self, rows: tf.Tensor, sequences: AnySequences) -> tf.Tensor:
        """Rows of the sequences' members `[n, d]` -> `[n, d]`."""
        return self._output(sequences.by_member(self._side_by_side(rows, sequences)))


class AskedSelfAttention(_Heads):
    """`query_attention` to the rows that `SelfAttention` gives.

    Q . (H O)^T = (Q O^T) . H^T, and of queries and of what they find there are fewer than of rows.
    """

    def call(self, queries: tf.Tensor, rows: tf.Tensor, sequences: AnySequences, zero_vector: bool) -> tf.Tensor:
        """Queries of each sequence `[u, g, d]`, rows of the members `[n, d]` -> `[u, g, d]`."""
        flat, shape = [-1, self._heads * self._size], tf.shape(queries)
        matrix = tf.cast(self._output.kernel, queries.dtype)
        asking = tf.reshape(tf.matmul(tf.reshape(queries, flat), matrix, transpose_b=True), shape)
        found = query_attention(asking, self._side_by_side(rows, sequences), sequences.mask, zero_vector)
        return tf.reshape(tf.matmul(tf.reshape(found, flat), matrix), shape)


class TransformerBlock(tf.keras.layers.Layer):
    """Self-attention and a feed-forward layer, each with its residual and its norm; learned positions."""

    def __init__(self, dim: int, heads: int, hidden: int, longest: int, name: str) -> None:
        super().__init__(name=name)
        self._attention = SelfAttention(dim, heads, "attention")
        self._norms = [LayerNormalization(name=f"norm_{place}") for place in ("met", "fed")]
        self._hidden = tf.keras.layers.Dense(hidden, "relu", name="hidden")
        self._output = tf.keras.layers.Dense(dim, name="output")
        self._positions = self.add_weight(f"{name}/positions", [longest, dim], initializer="zeros")

    def call(self, rows: tf.Tensor, sequences: AnySequences) -> tf.Tensor:
        """Rows of the sequences' members `[n, d]` -> `[n, d]`."""
        rows = rows + tf.gather(tf.cast(self._positions, rows.dtype), sequences.numbered())
        met = self._norms[0](rows + self._attention(rows, sequences))
        return self._norms[1](met + self._output(self._hidden(met)))
