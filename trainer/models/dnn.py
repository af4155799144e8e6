"""alpha-DNN: averaged words and attributes through an MLP a side."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from preprocessing.data.features import HORIZONS
from trainer.config_models import DnnConfig
from trainer.towers.embeddings import Tables
from trainer.towers.item_vector import ItemVector
from trainer.towers.lists import Lists


def mlp(hidden: tuple[int, ...], dim: int, name: str) -> tf.keras.Sequential:
    """Dense layers with ReLU between them."""
    layers = [tf.keras.layers.Dense(width, "relu") for width in hidden]
    return tf.keras.Sequential([*layers, tf.keras.layers.Dense(dim)], name=name)


class DnnQueryTower(tf.keras.layers.Layer):
    """MLP(mean grams, mean past)."""

    def __init__(self, tables: Tables, config: DnnConfig) -> None:
        super().__init__(name="query_tower")
        self.tables = tables
        self._config = config
        self._mlp = mlp(config.hidden, config.dim, "mlp")
        self.dim = config.dim
        self.columns = {f"query_{gram}" for gram in config.query_grams}
        self._horizons = HORIZONS if config.behaviours else ()
        self.columns |= {f"{horizon}_{name}" for horizon in self._horizons for name in {"item", *config.attributes}}

    def call(self, features: dict[str, Any], training: bool = False) -> tf.Tensor:
        """-> `[B, d]`."""
        del training
        past = []
        for horizon in self._horizons:
            lists = Lists.of(features[f"{horizon}_item"])  # an item is there, whatever attribute it has not
            names = self._config.attributes
            members = lists.members(*(features[f"{horizon}_{name}"] for name in names))
            past += [self.tables.mean_of(name, ids, lists) for name, ids in zip(names, members, strict=True)]
        return self._vector(features, past)

    def query_alone(self, features: dict[str, Any]) -> tf.Tensor:
        """The vector `[B, d]` of a user without a past, from the `query_*` features: the mean of nothing is zero."""
        one = features[f"query_{self._config.query_grams[0]}"]
        nothing = [self.tables.mean_of_none(name, one) for name in self._config.attributes]
        return self._vector(features, nothing * len(self._horizons))

    def _vector(self, features: dict[str, Any], past: list[tf.Tensor]) -> tf.Tensor:
        parts = [self.tables.mean(gram, features[f"query_{gram}"]) for gram in self._config.query_grams]
        vector = self._mlp(tf.concat([*parts, *past], axis=-1))
        return tf.math.l2_normalize(vector, axis=-1) if self._config.normalize else vector


class DnnItemTower(tf.keras.layers.Layer):
    """MLP(mean title grams, attributes, the item's own vector)."""

    def __init__(self, tables: Tables, config: DnnConfig) -> None:
        super().__init__(name="item_tower")
        self.tables = tables
        self._config = config
        self._mlp = mlp(config.hidden, config.dim, "mlp")
        self.columns = {f"title_{gram}" for gram in config.title_grams} | set(config.attributes)
        self._vector = ItemVector(config.dim) if config.vector else None
        self.columns |= ItemVector.columns if config.vector else set()

    def call(self, items: dict[str, Any], training: bool = False) -> tf.Tensor:
        """-> `[N, d]`."""
        parts = [self.tables.mean(gram, items[f"title_{gram}"]) for gram in self._config.title_grams]
        for name in self._config.attributes:
            if name == "item":
                parts.append(self.tables.item_rows(items[name], self._config.id_dropout, training))
            else:
                parts.append(self.tables.rows(name, items[name]))
        if self._vector is not None:
            parts.append(self._vector(items))
        vector = self._mlp(tf.concat(parts, axis=-1))
        return tf.math.l2_normalize(vector, axis=-1) if self._config.normalize else vector
