"""Keras's norm, written in as few ops as it needs."""

from __future__ import annotations

import tensorflow as tf


class LayerNormalization(tf.keras.layers.LayerNormalization):
    """Keras's own goes through a batch norm of made-up channels; the formula is half as many ops."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """`[..., d]` -> `[..., d]`, each row by its own mean and variance."""
        rows = tf.cast(inputs, tf.float32)
        centred = rows - tf.reduce_mean(rows, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        scaled = centred * tf.math.rsqrt(variance + self.epsilon) * self.gamma + self.beta
        return tf.cast(scaled, inputs.dtype)
