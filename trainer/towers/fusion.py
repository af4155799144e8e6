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
        cls = tf.cast(self._cls, rows.dtype)
        rows = tf.concat([tf.zeros_like(rows[:, :1]) + cls, rows], axis=1)
        asked = tf.einsum("hds,hs->dh", self._key, tf.einsum("d,hds->hs", cls, self._query))
        weights = tf.nn.softmax(tf.einsum("bnd,dh->bhn", rows, asked) * self._size**-0.5, axis=-1)
        values = tf.einsum("bhd,hds->bhs", tf.matmul(weights, rows), self._value)
        return tf.matmul(tf.reshape(values, [-1, rows.shape[-1]]), self._output)


def _fan_average(dim: int) -> tf.keras.initializers.Initializer:
    """Glorot's range for a `dim` x `dim` matrix, however it is cut into heads."""
    return tf.keras.initializers.RandomUniform(-((3 / dim) ** 0.5), (3 / dim) ** 0.5)
