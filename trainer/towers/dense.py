"""Keras's layers of one matrix or one norm, written in as few ops as they need."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class Dense(tf.keras.layers.Dense):
    """Keras's own reshapes rows of rank 3 to a matrix and back; an einsum is one op."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """`[..., w]` -> `[..., units]`."""
        if inputs.shape.rank == 2:
            outputs = tf.matmul(inputs, self.kernel)
        else:
            outputs = tf.einsum("anw,wd->and", inputs, self.kernel)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


class LayerNormalization(tf.keras.layers.LayerNormalization):
    """Keras's own goes through a batch norm of made-up channels; the formula is half as many ops."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """`[..., d]` -> `[..., d]`, each row by its own mean and variance."""
        rows = tf.cast(inputs, tf.float32)
        centred = rows - tf.reduce_mean(rows, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        scaled = centred * tf.math.rsqrt(variance + self.epsilon) * self.gamma + self.beta
        return tf.cast(scaled, inputs.dtype)


class HeadsMatrix(tf.keras.layers.Layer):
    """A matrix into or out of heads: the matrix is cut into them, since the rows' shape is only known when it runs."""

    def __init__(self, shape: Sequence[int], cut: Sequence[int], equation: str, name: str) -> None:
        super().__init__(name=name)
        self._shape, self._cut, self._equation = shape, cut, equation
        self._initializer = tf.keras.initializers.GlorotUniform()

    def build(self, shape: tf.TensorShape) -> None:
        """Makes the matrix, in the range of its whole."""
        self.kernel = self.add_weight("kernel", self._shape, initializer=self._initializer)
        super().build(shape)

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """The equation of rows and the matrix cut."""
        return tf.einsum(self._equation, rows, tf.reshape(self.kernel, self._cut))
