"""Random numbers that are a function of the seed, the step and the place: a resumed run draws the same ones."""

from __future__ import annotations

import zlib

import tensorflow as tf


class Noise(tf.Module):
    """What dropout and mixing draw from."""

    def __init__(self, seed: int) -> None:
        super().__init__(name="noise")
        self._seed = seed
        once = tf.VariableAggregation.ONLY_FIRST_REPLICA  # replicas make a step together
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step", aggregation=once)

    def uniform(self, shape: tf.Tensor, place: str, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """float32 in [low, high); each `place` has its own at each step, and each replica its own."""
        return tf.random.stateless_uniform(shape, self._key(place), low, high)

    def integers(self, shape: tf.Tensor, place: str, low: int, high: int) -> tf.Tensor:
        """int64 in [low, high)."""
        return tf.random.stateless_uniform(shape, self._key(place), low, high, tf.int64)

    def dropout(self, values: tf.Tensor, rate: float, place: str) -> tf.Tensor:
        """Values zeroed with probability `rate`, the rest scaled up."""
        if not rate:
            return values
        return tf.nn.experimental.stateless_dropout(values, rate, self._key(place))

    def _key(self, place: str) -> tf.Tensor:
        replica = tf.distribute.get_replica_context()
        number = replica.replica_id_in_sync_group if replica is not None else 0
        salt = zlib.crc32(f"{self._seed}/{place}".encode())
        return tf.stack([self.step, salt + tf.cast(number, tf.int64) * 2**32])
