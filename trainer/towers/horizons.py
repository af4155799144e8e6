"""What the user did before, asked by the query: today, the days before, the month before that."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.config_models import HorizonsConfig, LongConfig, RealtimeConfig, ShortConfig
from trainer.towers.action_signals import ActionSignals
from trainer.towers.attention import SelfAttention, grouped_attention, query_attention
from trainer.towers.dense import Dense
from trainer.towers.embeddings import Tables
from trainer.towers.lists import flat, oldest_first, padded, present, side_by_side
from trainer.towers.lstm import Lstm
from trainer.towers.noise import Noise


class BehaviourItems(tf.keras.layers.Layer):
    """An item inside a sequence: its attributes side by side, projected to d; and what is known of the action on it."""

    def __init__(self, tables: Tables, dim: int, config: HorizonsConfig, noise: Noise) -> None:
        super().__init__(name="behaviour_items")
        self.tables = tables
        self._attributes, self._signals = config.attributes, config.signals
        if config.signals:
            self._of_actions = ActionSignals(dim, config.signals, config.signal_dropout, noise)
        self._project = Dense(dim, use_bias=False, name="project")

    def call(self, features: dict[str, Any], horizon: str, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """-> `[B, n, d]`, newest first, and which are there `[B, n]`: an item is, whatever attribute it has not."""
        items = features[f"{horizon}_item"]
        parts = [self.tables.rows(name, flat(features[f"{horizon}_{name}"])) for name in self._attributes]
        rows = self._project(tf.concat(parts, axis=-1))
        if self._signals:
            signals = {name: flat(features[f"{horizon}_{name}"]) for name in self._signals}
            rows += self._of_actions(signals, horizon, training=training)
        return padded(rows, items), present(items)

    def columns(self, horizon: str) -> set[str]:
        """What it reads of one."""
        return {f"{horizon}_{name}" for name in {"item", *self._attributes, *self._signals}}


class Realtime(tf.keras.layers.Layer):
    """Today: LSTM in the order of time, self-attention, zero vector, attention by the query."""

    def __init__(self, items: BehaviourItems, dim: int, config: RealtimeConfig, zero_vector: bool, noise: Noise):
        super().__init__(name="realtime")
        self._items = items
        self._config = config
        self._zero_vector = zero_vector
        self._noise = noise
        self._lstms = [Lstm(dim, f"lstm_{n}") for n in range(config.lstm_layers)]
        self._attention = SelfAttention(dim, config.heads, "self_attention")
        self.columns = items.columns("realtime")

    def call(self, features: dict[str, Any], grains: tf.Tensor, training: bool = False) -> tf.Tensor:
        """H_real `[B, g, d]` for Q_mgs `[B, g, d]`."""
        rows, mask = self._items(features, "realtime", training=training)
        if not training:
            return self._found(rows, mask, grains, training)
        acted = tf.where(tf.reduce_any(mask, axis=1))[:, 0]  # most users come with an empty day: a third of the LSTM
        rows, mask, asking = (tf.gather(one, acted) for one in (rows, mask, grains))
        found = self._found(rows, mask, asking, training)
        return tf.scatter_nd(acted[:, None], found, tf.shape(grains, tf.int64))

    def _found(self, rows: tf.Tensor, mask: tf.Tensor, grains: tf.Tensor, training: bool) -> tf.Tensor:
        rows, mask = oldest_first(rows, mask)
        for number, lstm in enumerate(self._lstms):
            inputs = self._noise.dropout(rows, self._config.dropout, f"lstm {number}") if training else rows
            rows = rows + tf.cast(lstm(inputs, training=training), rows.dtype)
        return query_attention(grains, self._attention(rows, mask), mask, self._zero_vector)


class ShortTerm(tf.keras.layers.Layer):
    """The days before today: self-attention, zero vector, attention by the query."""

    def __init__(self, items: BehaviourItems, dim: int, config: ShortConfig, zero_vector: bool) -> None:
        super().__init__(name="short")
        self._items = items
        self._zero_vector = zero_vector
        self._attention = SelfAttention(dim, config.heads, "self_attention") if config.self_attention else None
        self.columns = items.columns("short")

    def call(self, features: dict[str, Any], grains: tf.Tensor, training: bool = False) -> tf.Tensor:
        """H_short `[B, g, d]` for Q_mgs `[B, g, d]`."""
        rows, mask = self._items(features, "short", training=training)
        if self._attention is not None:
            rows = self._attention(rows, mask)
        return query_attention(grains, rows, mask, self._zero_vector)


class LongTerm(tf.keras.layers.Layer):
    """The month before: for each attribute the means of the clicked, ordered, collected; summed over attributes."""

    def __init__(self, tables: Tables, dim: int, config: LongConfig, zero_vector: bool) -> None:
        super().__init__(name="long")
        self.tables = tables
        self._config = config
        self._zero_vector = zero_vector
        self._project = {name: Dense(dim, use_bias=False, name=f"project_{name}") for name in config.attributes}
        self.columns = {f"{action}_{name}" for action in config.actions for name in {"item", *config.attributes}}

    def call(self, features: dict[str, Any], grains: tf.Tensor, training: bool = False) -> tf.Tensor:
        """H_long `[B, g, d]` for Q_mgs `[B, g, d]`."""
        del training
        names = list(dict.fromkeys(["item", *self._config.attributes]))
        by_action = [[features[f"{action}_{name}"] for name in names] for action in self._config.actions]
        lists = dict(zip(names, side_by_side(by_action), strict=True))  # the actions [B, 3, (n)] in one pass
        mask = present(lists["item"])
        means = [self.tables.mean_by(name, lists[name], mask) for name in self._config.attributes]
        rows = [project(mean) for project, mean in zip(self._project.values(), means, strict=True)]  # [B, 3, d] each
        acted = tf.reduce_any(mask, axis=-1)
        return grouped_attention(grains, tf.stack(rows, axis=1), acted, self._zero_vector)


def horizon_layers(tables: Tables, dim: int, config: HorizonsConfig, noise: Noise) -> list[tf.keras.layers.Layer]:
    """The horizons that are on."""
    layers: list[tf.keras.layers.Layer] = []
    items = BehaviourItems(tables, dim, config, noise)  # one for both: an item is the same today and before
    if config.realtime.on:
        layers.append(Realtime(items, dim, config.realtime, config.zero_vector, noise))
    if config.short.on:
        layers.append(ShortTerm(items, dim, config.short, config.zero_vector))
    if config.long.on:
        layers.append(LongTerm(tables, dim, config.long, config.zero_vector))
    return layers
