"""What the user did before, asked by the query: today, the days before, the month before that."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from preprocessing.logs.records import ATTRIBUTES
from trainer.config_models import HorizonsConfig, LongConfig, RealtimeConfig, ShortConfig
from trainer.towers.attention import SelfAttention, grouped_attention, query_attention
from trainer.towers.embeddings import Tables
from trainer.towers.noise import Noise
from trainer.towers.ragged import aligned, padded


class BehaviourItems(tf.keras.layers.Layer):
    """An item inside a sequence: its id, brand, shop, leaf and top side by side, projected to d."""

    def __init__(self, tables: Tables, dim: int) -> None:
        super().__init__(name="behaviour_items")
        self.tables = tables
        self._project = tf.keras.layers.Dense(dim, use_bias=False, name="project")

    def call(self, features: dict[str, Any], horizon: str) -> tf.RaggedTensor:
        """-> `[B, (n), d]`, newest first."""
        lists = aligned({name: features[f"{horizon}_{name}"] for name in ATTRIBUTES}, "item")
        side_by_side = tf.concat([self.tables.rows(name, ids.values) for name, ids in lists.items()], axis=-1)
        return lists["item"].with_values(self._project(side_by_side))


class Realtime(tf.keras.layers.Layer):
    """Today: LSTM in the order of time, self-attention, zero vector, attention by the query."""

    def __init__(self, items: BehaviourItems, dim: int, config: RealtimeConfig, zero_vector: bool, noise: Noise):
        super().__init__(name="realtime")
        self._items = items
        self._config = config
        self._zero_vector = zero_vector
        self._noise = noise
        self._lstms = [
            tf.keras.layers.LSTM(dim, return_sequences=True, name=f"lstm_{n}") for n in range(config.lstm_layers)
        ]
        self._attention = SelfAttention(dim, config.heads, "self_attention")
        self.columns = {f"realtime_{name}" for name in ATTRIBUTES}

    def call(self, features: dict[str, Any], grains: tf.Tensor, training: bool = False) -> tf.Tensor:
        """H_real `[B, g, d]` for Q_mgs `[B, g, d]`."""
        rows = self._items(features, "realtime")
        acted = tf.where(rows.row_lengths() > 0)[:, 0]  # most users come with an empty day: they need no LSTM
        found = self._found(tf.gather(rows, acted), tf.gather(grains, acted), training)
        return tf.scatter_nd(acted[:, None], found, tf.shape(grains, tf.int64))

    def _found(self, rows: tf.RaggedTensor, grains: tf.Tensor, training: bool) -> tf.Tensor:
        vectors, mask = padded(rows.values, rows, at_least=1)  # an LSTM cannot run over no time at all
        lengths = rows.row_lengths()
        vectors = tf.reverse_sequence(vectors, lengths, seq_axis=1)  # oldest first
        for number, lstm in enumerate(self._lstms):
            inputs = self._noise.dropout(vectors, self._config.dropout, f"lstm {number}") if training else vectors
            vectors = vectors + lstm(inputs, mask=mask)
        rows = rows.with_values(tf.boolean_mask(vectors, mask))
        met = self._attention(rows)
        return query_attention(grains, *padded(met.values, met), self._zero_vector)


class ShortTerm(tf.keras.layers.Layer):
    """The days before today: self-attention, zero vector, attention by the query."""

    def __init__(self, items: BehaviourItems, dim: int, config: ShortConfig, zero_vector: bool) -> None:
        super().__init__(name="short")
        self._items = items
        self._zero_vector = zero_vector
        self._attention = SelfAttention(dim, config.heads, "self_attention") if config.self_attention else None
        self.columns = {f"short_{name}" for name in ATTRIBUTES}

    def call(self, features: dict[str, Any], grains: tf.Tensor, training: bool = False) -> tf.Tensor:
        """H_short `[B, g, d]` for Q_mgs `[B, g, d]`."""
        del training
        rows = self._items(features, "short")
        if self._attention is not None:
            rows = self._attention(rows)
        return query_attention(grains, *padded(rows.values, rows), self._zero_vector)


class LongTerm(tf.keras.layers.Layer):
    """The month before: for each attribute the means of the clicked, ordered, collected; summed over attributes."""

    def __init__(self, tables: Tables, dim: int, config: LongConfig, zero_vector: bool) -> None:
        super().__init__(name="long")
        self.tables = tables
        self._config = config
        self._zero_vector = zero_vector
        self._project = {
            name: tf.keras.layers.Dense(dim, use_bias=False, name=f"project_{name}") for name in config.attributes
        }
        self.columns = {f"{action}_{name}" for action in config.actions for name in {"item", *config.attributes}}

    def call(self, features: dict[str, Any], grains: tf.Tensor, training: bool = False) -> tf.Tensor:
        """H_long `[B, g, d]` for Q_mgs `[B, g, d]`."""
        del training
        names = ["item", *self._config.attributes]
        actions = [aligned({n: features[f"{action}_{n}"] for n in names}, "item") for action in self._config.actions]
        mask = tf.stack([lists["item"].row_lengths() > 0 for lists in actions], axis=1)
        rows = []
        for name in self._config.attributes:
            means = tf.stack([self.tables.mean(name, lists[name]) for lists in actions], axis=1)
            rows.append(self._project[name](means))
        groups = len(rows)
        return grouped_attention(grains, tf.concat(rows, axis=1), tf.tile(mask, [1, groups]), groups, self._zero_vector)


def horizon_layers(tables: Tables, dim: int, config: HorizonsConfig, noise: Noise) -> list[tf.keras.layers.Layer]:
    """The horizons that are on."""
    layers: list[tf.keras.layers.Layer] = []
    items = BehaviourItems(tables, dim)  # one for both: an item is the same today and before
    if config.realtime.on:
        layers.append(Realtime(items, dim, config.realtime, config.zero_vector, noise))
    if config.short.on:
        layers.append(ShortTerm(items, dim, config.short, config.zero_vector))
    if config.long.on:
        layers.append(LongTerm(tables, dim, config.long, config.zero_vector))
    return layers
