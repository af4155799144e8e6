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

    def __init__(self, levels: int, config: MmseConfig) -> None:
        super().__init__(name="level_weights", dtype="float32")
        learned = config.level_weights
        self._raw = self.add_weight("level_weights/raw", [levels], initializer="zeros", trainable=learned)
        self._normalize = config.normalize

    @property
    def weights_by_level(self) -> tf.Tensor:
        """`[G]`, all 1 at the start."""
        return tf.nn.softplus(self._raw) / tf.math.log(2.0)

    def call(self, levels: tf.Tensor) -> tf.Tensor:
        """Vectors by level `[n, G, d]` -> `[n, G * d]`, each level by the root of its weight."""
        levels = tf.cast(levels, tf.float32)
        if self._normalize:
            levels = tf.math.l2_normalize(levels, axis=-1)
        scaled = levels * tf.sqrt(self.weights_by_level)[:, None]
        return tf.reshape(scaled, [-1, levels.shape[1] * levels.shape[2]])


class FusedRepresentation(tf.keras.layers.Layer):
    """For comparison: all levels of one side through one matrix, to one vector as wide as they are side by side."""

    def __init__(self, levels: int, config: MmseConfig) -> None:
        super().__init__(name="fused_representation")
        self._width = levels * config.dim
        self._matrix = tf.keras.layers.Dense(self._width, use_bias=False, name="matrix")
        self._length = levels**0.5 if config.normalize else None  # scores up to G, as G levels of length 1 have them

    def call(self, levels: tf.Tensor) -> tf.Tensor:
        """`[n, G, d]` -> `[n, G * d]`."""
        vector = tf.cast(self._matrix(tf.reshape(levels, [-1, self._width])), tf.float32)
        return vector if self._length is None else tf.math.l2_normalize(vector, axis=-1) * self._length


class MmseQueryTower(tf.keras.layers.Layer):
    """The levels of the query side: its grains, and what each horizon holds for it."""

    def __init__(self, tables: Tables, config: MmseConfig, noise: Noise, longest_query: int) -> None:
        super().__init__(name="query_tower")
        self.tables = tables
        self._grains = QueryGrains(tables, config.dim, config.grains, longest_query)
        self._horizons = horizon_layers(tables, config.dim, config.horizons, noise)
        self.grains = list(self._grains.names)
        self.horizons = [horizon.name for horizon in self._horizons]
        self.levels = len(self.grains) + len(self.horizons)
        self.fusion = _FUSIONS[config.fusion](self.levels, config)
        self.dim = self.levels * config.dim
        self.columns = self._grains.columns.union(*(horizon.columns for horizon in self._horizons))
        self._asking = self._grains.names.index("word")

    def call(self, features: dict[str, Any], training: bool = False) -> tf.Tensor:
        """-> `[B, G * d]`."""
        return self.fusion(self.by_level(features, training))

    def by_level(self, features: dict[str, Any], training: bool = False) -> tf.Tensor:
        """q_g `[B, G, d]`."""
        grains = self._grains(features)
        words = grains[:, self._asking : self._asking + 1]
        found = [horizon(features, words, training=training) for horizon in self._horizons]  # [B, 1, d] each
        return tf.concat([grains, *found], axis=1)

    def query_alone(self, features: dict[str, Any]) -> tf.Tensor:
        """The vector `[B, G * d]` of a user without a past, from the `query_*` features: no horizon finds anything."""
        grains = self._grains(features, alone=True)
        nothing = tf.zeros_like(grains[:, :1])
        return self.fusion(tf.concat([grains, *[nothing] * len(self._horizons)], axis=1))


class MmseItemTower(tf.keras.layers.Layer):
    """One view of the item for each level of the query."""

    def __init__(self, tables: Tables, config: MmseConfig, query_tower: MmseQueryTower) -> None:
        super().__init__(name="item_tower")
        self._views = ItemViews(tables, config, query_tower.grains, query_tower.horizons)
        shared = config.fusion == "similarities"  # the weights of levels are of both sides
        self._fusion = query_tower.fusion if shared else FusedRepresentation(query_tower.levels, config)
        self.columns = self._views.columns

    def call(self, items: dict[str, Any], training: bool = False) -> tf.Tensor:
        """-> `[N, G * d]`."""
        return self._fusion(self.by_level(items, training))

    def by_level(self, items: dict[str, Any], training: bool = False) -> tf.Tensor:
        """i_g `[N, G, d]`."""
        return self._views(items, training=training)


_FUSIONS = {"similarities": LevelWeights, "representations": FusedRepresentation}
