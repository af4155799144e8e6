"""The embedding tables, shared by both towers: one a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer.towers.lists import Ids, Lists
from trainer.towers.noise import Noise

_STDDEV = 0.1


class Tables(tf.keras.layers.Layer):
    """id -> vector, for each vocabulary in use. Their gradients are sparse: a step touches the rows it saw."""

    def __init__(self, spec: Mapping[str, Any], widths: Mapping[str, int], noise: Noise) -> None:
        super().__init__(name="tables", dtype="float32")
        self._noise = noise
        self._compute = tf.keras.mixed_precision.global_policy().compute_dtype
        self._item_buckets = spec["vocabularies"]["item"]["hash_buckets"]
        self._rows = {
            name: self.add_weight(
                name=f"tables/{name}",
                shape=[spec["vocabularies"][name]["ids"], width],
                initializer=tf.keras.initializers.RandomNormal(stddev=_STDDEV),
            )
            for name, width in sorted(widths.items())
        }

    def rows(self, name: str, ids: tf.Tensor) -> tf.Tensor:
        """Vectors of ids: `[..., width]`."""
        return tf.cast(tf.gather(self._rows[name], ids), self._compute)

    def mean(self, name: str, ids: Ids) -> tf.Tensor:
        """The mean vector of each innermost list of ids `[..., (L)]`: `[lists, width]`."""
        lists = Lists.of(ids)
        return self.mean_of(name, lists.members(ids)[0], lists)

    def mean_of(self, name: str, members: tf.Tensor, lists: Lists) -> tf.Tensor:
        """The mean vector of each list of which the members `[n]` are given: `[lists, width]`."""
        return tf.cast(lists.mean(tf.gather(self._rows[name], members)), self._compute)

    def mean_of_none(self, name: str, lists: Ids) -> tf.Tensor:
        """The mean vector of as many empty lists as `lists` `[n, (L)]` are: zeros `[n, width]`."""
        return tf.zeros([tf.shape(lists)[0], self._rows[name].shape[1]], self._compute)

    def forget_some(self, ids: tf.Tensor, rate: float) -> tf.Tensor:
        """Item ids `[n]`, some replaced by an id of the unknown: that is how a new item will be served."""
        shape = tf.shape(ids)
        unknown = self._noise.integers(shape, "unknown item", 1, 1 + self._item_buckets)
        return tf.where(self._noise.uniform(shape, "forgotten item") < rate, unknown, ids)
