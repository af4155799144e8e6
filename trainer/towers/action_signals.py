"""What a user did with each item of a sequence, and how long ago, as a vector to add to the item's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import tensorflow as tf

from preprocessing.data.features import ACTION_IDS
from trainer.towers.noise import Noise

_BUCKETS_AN_OCTAVE, _AGES = 2, 44  # the last is older than a month
_IDS = {"action": 1 + len(ACTION_IDS), "age": 1 + _AGES}


def age_bucket(seconds: tf.Tensor) -> tf.Tensor:
    """Seconds of any shape -> int64: half octaves from 1 on, 0 for unknown."""
    octaves = tf.math.log(tf.cast(tf.maximum(seconds, 1), tf.float32)) / math.log(2)
    bucket = 1 + tf.cast(tf.floor(octaves * _BUCKETS_AN_OCTAVE), tf.int64)
    return tf.where(seconds > 0, tf.minimum(bucket, _AGES), 0)


class ActionSignals(tf.keras.layers.Layer):
    """The sum of an embedding a signal; some are unknown while training, as those of clients that send none are."""

    def __init__(self, dim: int, signals: Sequence[str], dropout: float, noise: Noise) -> None:
        super().__init__(name="action_signals", dtype="float32")
        self._dropout, self._noise = dropout, noise
        self._compute = tf.keras.mixed_precision.global_policy().compute_dtype
        self._rows = {name: self._table(name, dim) for name in signals}

    def _table(self, name: str, dim: int) -> tf.Variable:
        normal = tf.keras.initializers.RandomNormal(stddev=0.1)
        return self.add_weight(f"action_signals/{name}", [_IDS[name], dim], initializer=normal)

    def call(self, signals: Mapping[str, tf.Tensor], place: str, training: bool = False) -> tf.Tensor:
        """Numbers of actions and seconds of any shape, by signal -> `[..., d]`; `place` has noise of its own."""
        vectors = []
        for name, numbers in signals.items():
            ids = age_bucket(numbers) if name == "age" else tf.where(numbers < _IDS[name], numbers, 0)
            ids = tf.maximum(ids, 0)
            if training and self._dropout:
                lost = self._noise.uniform(tf.shape(ids), f"{place} {name}") < self._dropout
                ids = tf.where(lost, tf.zeros_like(ids), ids)
            vectors.append(tf.gather(self._rows[name], ids))
        return tf.cast(tf.add_n(vectors), self._compute)
