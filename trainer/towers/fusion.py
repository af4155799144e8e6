"""How the grains and what the horizons found become one vector."""

from __future__ import annotations

import tensorflow as tf


class ClsFusion(tf.keras.layers.Layer):
    """Multi-head self-attention over [CLS] and the rows, read at [CLS] alone.

    Only one row of the output is wanted, and its query is the same for every request; so the keys and the
    values are never made: each head's query goes through its key matrix once, and each head's weighted
    mean of the rows through its value matrix.
    """

    def __init__(self, dim: int, heads: int, name: str = "fusion") -> None:
        super().__init__(name=name)
        if dim % heads:
            raise ValueError(f"{name}: {heads} heads do not divide {dim} dimensions")
        self._size = dim // heads
        self._cls = self.add_weight(f"{name}/cls", [dim], initializer=tf.keras.initializers.RandomNormal(stddev=0.1))
        self._query, self._key, self._value = (
            self.add_weight(f"{name}/{part}", [heads, dim, dim // heads], initializer=_fan_average(dim))
            for part in ("query", "key", "value")
        )
        self._output = self.add_weight(f"{name}/output", [dim, dim], initializer=_fan_average(dim))

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """`[B, n, d]` -> `[B, d]`."""
        cls, query, key, value, output = (
            tf.cast(one, rows.dtype) for one in (self._cls, self._query, self._key, self._value, self._output)
        )
        rows = tf.concat([tf.zeros_like(rows[:, :1]) + cls, rows], axis=1)
        asked = tf.matmul(key, tf.matmul(cls[None], query), transpose_b=True)[..., 0]  # [heads, d]
        weights = tf.nn.softmax(tf.matmul(asked, rows, transpose_b=True) * self._size**-0.5, axis=-1)  # [B, heads, n]
        means = tf.transpose(tf.matmul(weights, rows), [1, 0, 2])  # [heads, B, d]
        values = tf.transpose(tf.matmul(means, value), [1, 0, 2])
        return tf.matmul(tf.reshape(values, [-1, rows.shape[-1]]), output)


def _fan_average(dim: int) -> tf.keras.initializers.Initializer:
    """Glorot's range for a `dim` x `dim` matrix, however it is cut into heads."""
    return tf.keras.initializers.RandomUniform(-((3 / dim) ** 0.5), (3 / dim) ** 0.5)
