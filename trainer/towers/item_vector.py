"""W . vector: what any encoder of texts or images says of an item, at a tower's width."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from preprocessing.data.features import VECTOR


class ItemVector(tf.keras.layers.Layer):
    """The catalogue's vectors at length 1, whatever their encoder's scale, projected; of an item without one zeros."""

    columns = frozenset({VECTOR})

    def __init__(self, dim: int) -> None:
        super().__init__(name="item_vector")
        self._project = tf.keras.layers.Dense(dim, use_bias=False, name="project")

    def call(self, items: dict[str, Any]) -> tf.Tensor:
        """Features of `[N]` items -> `[N, dim]`."""
        return self._project(tf.math.l2_normalize(items[VECTOR], axis=-1))
