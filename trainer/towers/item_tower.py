"""e + tanh(W . mean(title)): an item's id, its attributes, its title and its own vector as one vector."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.config_models import ItemConfig
from trainer.towers.embeddings import Tables
from trainer.towers.item_vector import ItemVector


class ItemTower(tf.keras.layers.Layer):
    """The item side of both systems; an item never seen lives on its attributes and its title."""

    def __init__(self, tables: Tables, dim: int, config: ItemConfig) -> None:
        super().__init__(name="item_tower")
        self.tables = tables
        self._config = config
        self.columns = {*(["item"] if config.id else []), *config.side, *(f"title_{g}" for g in config.title_grams)}
        self._side = tf.keras.layers.Dense(dim, use_bias=False, name="side") if config.side else None
        self._titles = {gram: tf.keras.layers.Dense(dim, name=f"title_{gram}") for gram in config.title_grams}
        self._vector = ItemVector(dim) if config.vector else None
        self.columns |= ItemVector.columns if config.vector else set()

    def call(self, items: dict[str, Any], training: bool = False) -> tf.Tensor:
        """Features of `[N]` items -> `[N, d]`."""
        parts = []
        if self._config.id:
            parts.append(self.tables.item_rows(items["item"], self._config.id_dropout, training))
        if self._side is not None:
            side = [self.tables.rows(name, items[name]) for name in self._config.side]
            parts.append(self._side(tf.concat(side, axis=-1)))
        if self._titles:
            title = [self._titles[gram](self.tables.mean(gram, items[f"title_{gram}"])) for gram in self._titles]
            parts.append(tf.tanh(tf.add_n(title)))
        if self._vector is not None:
            parts.append(self._vector(items))
        return tf.add_n(parts)
