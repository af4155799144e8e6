"""The two towers of TFRS's retrieval tutorial: ids and bags of words."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.towers.embeddings import Tables


class BagOfWords(tf.keras.layers.Layer):
    """The query: the mean of its words."""

    def __init__(self, tables: Tables, dim: int) -> None:
        super().__init__(name="query_tower")
        self.tables = tables
        self.dim = dim
        self.columns = {"query_word"}

    def call(self, features: dict[str, Any], training: bool = False) -> tf.Tensor:
        """-> `[B, d]`."""
        del training
        return self.query_alone(features)

    def query_alone(self, features: dict[str, Any]) -> tf.Tensor:
        """The same `[B, d]`: this tower never looks at a past."""
        return self.tables.mean("word", features["query_word"])


class IdAndTitle(tf.keras.layers.Layer):
    """The item: its id's embedding and the mean of its title's words, side by side, projected."""

    def __init__(self, tables: Tables, dim: int) -> None:
        super().__init__(name="item_tower")
        self.tables = tables
        self._project = tf.keras.layers.Dense(dim, name="project")
        self.columns = {"item", "title_word"}

    def call(self, items: dict[str, Any], training: bool = False) -> tf.Tensor:
        """-> `[N, d]`."""
        del training
        both = [self.tables.rows("item", items["item"]), self.tables.mean("word", items["title_word"])]
        return self._project(tf.concat(both, axis=-1))
