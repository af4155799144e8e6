"""MGDSPR: the query in six grains, three horizons asked by it, fused at [CLS]; items as e + tanh(W . title)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.config_models import MgdsprConfig
from trainer.towers.embeddings import Tables
from trainer.towers.fusion import ClsFusion
from trainer.towers.horizons import horizon_layers
from trainer.towers.item_tower import ItemTower
from trainer.towers.noise import Noise
from trainer.towers.query_grains import QueryGrains


class MgdsprQueryTower(tf.keras.layers.Layer):
    """The user-query vector."""

    def __init__(self, tables: Tables, config: MgdsprConfig, noise: Noise, longest_query: int) -> None:
        super().__init__(name="query_tower")
        self.tables = tables
        self._grains = QueryGrains(tables, config.dim, config.grains, longest_query)
        self._horizons = horizon_layers(tables, config.dim, config.horizons, noise)
        self._fusion = ClsFusion(config.dim, config.fusion_heads) if config.fusion == "cls" else None
        self._normalize = config.normalize
        self.dim = config.dim
        self.columns = self._grains.columns.union(*(horizon.columns for horizon in self._horizons))

    def call(self, features: dict[str, Any], training: bool = False) -> tf.Tensor:
        """-> `[B, d]`."""
        grains = self._grains(features)  # Q_mgs [B, g, d]
        found = [horizon(features, grains, training=training) for horizon in self._horizons]  # H [B, g, d] each
        return self._fused(grains, found)

    def query_alone(self, features: dict[str, Any]) -> tf.Tensor:
        """The vector `[B, d]` of a user without a past, from the `query_*` features: no horizon finds anything."""
        grains = self._grains(features, alone=True)
        return self._fused(grains, [tf.zeros_like(grains)] * len(self._horizons))

    def _fused(self, grains: tf.Tensor, found: list[tf.Tensor]) -> tf.Tensor:
        rows = tf.concat([grains, *found], axis=1)
        vector = self._fusion(rows) if self._fusion is not None else tf.reduce_mean(rows, axis=1)
        return tf.math.l2_normalize(vector, axis=-1) if self._normalize else vector


class MgdsprItemTower(ItemTower):
    """The item's vector, of length 1 where the config asks for it."""

    def __init__(self, tables: Tables, config: MgdsprConfig) -> None:
        super().__init__(tables, config.dim, config.item)
        self._normalize = config.normalize

    def call(self, items: dict[str, Any], training: bool = False) -> tf.Tensor:
        """-> `[N, d]`."""
        vector = super().call(items, training)
        return tf.math.l2_normalize(vector, axis=-1) if self._normalize else vector
