"""Small layers with one job each. Shapes: b requests, n sequence, d the width; id 0 is padding everywhere."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

_MASKED = -1e9


class Embeddings(keras.layers.Layer):
    """One table a vocabulary, shared by all that reads it."""

    def __init__(self, sizes: dict[str, int], dim: int) -> None:
        super().__init__(name="embeddings")
        self.tables = {
            name: keras.layers.Embedding(size, dim, embeddings_initializer="uniform", name=f"{name}_embedding")
            for name, size in sorted(sizes.items())
        }

    def of(self, name: str, ids: tf.Tensor) -> tf.Tensor:
        """Ids of any shape to `[..., d]`, zero where they are padding."""
        return self.tables[name](ids) * tf.cast(ids > 0, tf.float32)[..., None]


def masked_mean(vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean over n of `[..., n, d]` where the mask `[..., n]` says so; zero where it never does."""
    weights = tf.cast(mask, vectors.dtype)[..., None]
    return tf.math.divide_no_nan(tf.reduce_sum(vectors * weights, axis=-2), tf.reduce_sum(weights, axis=-2))


def attend(queries: tf.Tensor, rows: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """softmax(Q . R^T) R: `[b, m, d]` of queries `[b, m, d]` over rows `[b, n, d]`; masked rows weigh nothing."""
    scores = tf.matmul(queries, rows, transpose_b=True)
    weights = tf.nn.softmax(tf.where(mask[:, None, :], scores, _MASKED), axis=-1)
    some = tf.cast(tf.reduce_any(mask, axis=1), rows.dtype)[:, None, None]
    return tf.matmul(weights, rows) * some


def with_zero_row(rows: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A zero vector in front, which a query attends to when the others do not concern it."""
    return tf.pad(rows, [[0, 0], [1, 0], [0, 0]]), tf.pad(mask, [[0, 0], [1, 0]], constant_values=True)


class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention that padding takes no part in."""

    def __init__(self, dim: int, heads: int, name: str) -> None:
        super().__init__(name=name)
        self._attention = keras.layers.MultiHeadAttention(heads, dim // heads)

    def call(self, rows: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:  # type: ignore[override]
        """`[b, n, d]` and mask `[b, n]` to `[b, n, d]`, zero at padding."""
        seen = tf.broadcast_to(mask[:, None, :], [tf.shape(mask)[0], tf.shape(mask)[1], tf.shape(mask)[1]])
        return self._attention(rows, rows, attention_mask=seen) * tf.cast(mask, rows.dtype)[..., None]


class TransformerBlock(keras.layers.Layer):
    """Self-attention and a feed-forward layer, each with its residual and norm."""

    def __init__(self, dim: int, heads: int, name: str) -> None:
        super().__init__(name=name)
        self._attention = SelfAttention(dim, heads, "attention")
        self._wide = keras.layers.Dense(2 * dim, "relu")
        self._narrow = keras.layers.Dense(dim)
        self._norms = [keras.layers.LayerNormalization() for _ in range(2)]

    def call(self, rows: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:  # type: ignore[override]
        """`[b, n, d]` to `[b, n, d]`."""
        rows = self._norms[0](rows + self._attention(rows, mask))
        return self._norms[1](rows + self._narrow(self._wide(rows)))
