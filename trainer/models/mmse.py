"""MMSE: one vector a level on each side; similarities are fused, not representations."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.config_models import MmseConfig
from trainer.towers.embeddings import Tables
from trainer.towers.horizons import horizon_layers
from trainer.towers.item_views import ItemViews
from trainer.towers.noise import Noise
from trainer.towers.query_grains import QueryGrains


class LevelWeights(tf.keras.layers.Layer):
    """w_g >= 0, one a level, learned; s = sum_g w_g <q_g, i_g> is one inner product of sqrt(w_g) q_g, sqrt(w_g) i_g."""

    def __init__(self, levels: int, learned: bool) -> None:
        super().__init__(name="level_weights", dtype="float32")
        self._raw = self.add_weight("level_weights/raw", [levels], initializer="zeros", trainable=learned)

    @property
    def weights_by_level(self) -> tf.Tensor:
        """`[G]`, all 1 at the start."""
        return tf.nn.softplus(self._raw) / tf.math.log(2.0)

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """Vectors by level `[n, G, d]` -> `[n, G * d]`, each level by the root of its weight."""
        scaled = tf.cast(vectors, tf.float32) * tf.sqrt(self.weights_by_level)[:, None]
        return tf.reshape(scaled, [-1, vectors.shape[1] * vectors.shape[2]])


class MmseQueryTower(tf.keras.layers.Layer):
    """The levels of the query side: its grains, and what each horizon holds for it."""

    def __init__(self, tables: Tables, config: MmseConfig, noise: Noise, longest_query: int) -> None:
        super().__init__(name="query_tower")
        self.tables = tables
        self._grains = QueryGrains(tables, config.dim, config.grains, longest_query)
        self._horizons = horizon_layers(tables, config.dim, config.horizons, noise)
        self._normalize = config.normalize
        self.grains = list(self._grains.names)
        self.horizons = [horizon.name for horizon in self._horizons]
        self.levels = len(self.grains) + len(self.horizons)
        self.level_weights = LevelWeights(self.levels, config.level_weights)
        self.dim = self.levels * config.dim
        self.columns = self._grains.columns.union(*(horizon.columns for horizon in self._horizons))
        self._asking = self._grains.names.index("word")

    def call(self, features: dict[str, Any], training: bool = False) -> tf.Tensor:
        """-> `[B, G * d]`."""
        return self.level_weights(self.by_level(features, training))

    def by_level(self, features: dict[str, Any], training: bool = False) -> tf.Tensor:
        """q_g `[B, G, d]`."""
        grains = self._grains(features)
        words = grains[:, self._asking : self._asking + 1]
        found = [horizon(features, words, training=training) for horizon in self._horizons]  # [B, 1, d] each
        return self._levels(grains, found)

    def query_alone(self, features: dict[str, Any]) -> tf.Tensor:
        """The vector `[B, G * d]` of a user without a past, from the `query_*` features: no horizon finds anything."""
        grains = self._grains(features, alone=True)
        return self.level_weights(self._levels(grains, [tf.zeros_like(grains[:, :1])] * len(self._horizons)))

    def _levels(self, grains: tf.Tensor, found: list[tf.Tensor]) -> tf.Tensor:
        levels = tf.concat([grains, *found], axis=1)
        return tf.math.l2_normalize(levels, axis=-1) if self._normalize else levels


class MmseItemTower(tf.keras.layers.Layer):
    """One view of the item for each level of the query."""

    def __init__(self, tables: Tables, config: MmseConfig, query_tower: MmseQueryTower) -> None:
        super().__init__(name="item_tower")
        self._views = ItemViews(tables, config, query_tower.grains, query_tower.horizons)
        self._normalize = config.normalize
        self._level_weights = query_tower.level_weights
        self.columns = self._views.columns

    def call(self, items: dict[str, Any], training: bool = False) -> tf.Tensor:
        """-> `[N, G * d]`."""
        return self._level_weights(self.by_level(items, training))

    def by_level(self, items: dict[str, Any], training: bool = False) -> tf.Tensor:
        """i_g `[N, G, d]`."""
        levels = self._views(items, training=training)
        return tf.math.l2_normalize(levels, axis=-1) if self._normalize else levels
