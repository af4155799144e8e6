"""What the user did before, asked by the query: today, the days before, the month before that."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.config_models import HorizonsConfig, LongConfig, RealtimeConfig, ShortConfig
from trainer.towers.action_signals import ActionSignals
from trainer.towers.attention import AskedSelfAttention, grouped_attention, query_attention
from trainer.towers.embeddings import Tables
from trainer.towers.lists import AnyLists, Lists, one_below_other
from trainer.towers.lstm import Lstm
from trainer.towers.noise import Noise
from trainer.towers.padded_lists import PaddedSequences
from trainer.towers.sequences import Sequences


class BehaviourItems(tf.keras.layers.Layer):
    """An item inside a sequence: its attributes side by side, projected to d; and what is known of the action on it."""

    def __init__(self, tables: Tables, dim: int, config: HorizonsConfig, noise: Noise) -> None:
        super().__init__(name="behaviour_items")
        self.tables = tables
        self._attributes, self._signals = config.attributes, config.signals
        if config.signals:
            self._of_actions = ActionSignals(dim, config.signals, config.signal_dropout, noise)
        self._project = tf.keras.layers.Dense(dim, use_bias=False, name="project")
        self._projected: list[tf.Variable] = []

    def fold(self) -> None:
        """Makes what is served: the projection of an attribute hangs on its id alone, so each table goes through it."""
        widths = [self.tables.width(name) for name in self._attributes]
        parts = tf.split(self._project.kernel, widths)
        self._projected = self.tables.projected(dict(zip(self._attributes, parts, strict=True)))

    def call(self, features: dict[str, Any], horizon: str, training: bool = False) -> tuple[tf.Tensor, AnyLists]:
        """-> `[n, d]` of all requests, each newest first; an item counts, whatever attribute it has not."""
        lists = Lists.of(features[f"{horizon}_item"])
        names = (*self._attributes, *self._signals)
        members = dict(zip(names, lists.members(*(features[f"{horizon}_{name}"] for name in names)), strict=True))
        rows = self._rows([members[name] for name in self._attributes])
        if self._signals:
            rows += self._of_actions({name: members[name] for name in self._signals}, horizon, training=training)
        return rows, lists

    def _rows(self, ids: list[tf.Tensor]) -> tf.Tensor:
        """Ids `[n]` of each attribute -> `[n, d]`."""
        if self._projected:
            tables = zip(self._attributes, self._projected, ids, strict=True)
            return tf.add_n([self.tables.gathered(name, rows, one) for name, rows, one in tables])
        rows = [self.tables.rows(name, one) for name, one in zip(self._attributes, ids, strict=True)]
        return self._project(tf.concat(rows, axis=-1))

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
        self._attention = AskedSelfAttention(dim, config.heads, "self_attention")
        self.columns = items.columns("realtime")

    def call(self, features: dict[str, Any], grains: tf.Tensor, training: bool = False) -> tf.Tensor:
        """H_real `[B, g, d]` for Q_mgs `[B, g, d]`."""
        rows, lists = self._items(features, "realtime", training=training)
        today = Sequences.of(lists, backwards=True)  # as it went
        for number, lstm in enumerate(self._lstms):
            inputs = self._noise.dropout(rows, self._config.dropout, f"lstm {number}") if training else rows
            outputs = lstm(today.side_by_side(inputs), training=training, by_cell=isinstance(today, PaddedSequences))
            rows = rows + tf.cast(today.by_member(outputs), rows.dtype)
        found = self._attention(today.asking(grains), rows, today, self._zero_vector)
        return today.by_list(found, grains)


class ShortTerm(tf.keras.layers.Layer):
    """The days before today: self-attention, zero vector, attention by the query."""

    def __init__(self, items: BehaviourItems, dim: int, config: ShortConfig, zero_vector: bool) -> None:
        super().__init__(name="short")
        self._items = items
        self._zero_vector = zero_vector
        self._attention = AskedSelfAttention(dim, config.heads, "self_attention") if config.self_attention else None
        self.columns = items.columns("short")

    def call(self, features: dict[str, Any], grains: tf.Tensor, training: bool = False) -> tf.Tensor:
        """H_short `[B, g, d]` for Q_mgs `[B, g, d]`."""
        rows, lists = self._items(features, "short", training=training)
        before = Sequences.of(lists)
        asking = before.asking(grains)
        if self._attention is not None:
            found = self._attention(asking, rows, before, self._zero_vector)
        else:
            found = query_attention(asking, before.side_by_side(rows), before.mask, self._zero_vector)
        return before.by_list(found, grains)


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
        actions, attributes = self._config.actions, self._config.attributes
        of_action = [Lists.of(features[f"{action}_item"]) for action in actions]
        members = [
            lists.members(*(features[f"{action}_{name}"] for name in attributes))
            for action, lists in zip(actions, of_action, strict=True)
        ]
        lists = one_below_other(of_action)  # the actions in one pass
        rows = [
            project(self.tables.mean_of(name, tf.concat(ids, axis=0), lists))  # [actions * B, d]
            for (name, project), *ids in zip(self._project.items(), *members, strict=True)
        ]
        by_action = [len(actions), -1]
        means = tf.reshape(tf.stack(rows, axis=1), [*by_action, len(rows), grains.shape[-1]])
        acted = tf.transpose(tf.reshape(lists.filled(), by_action))
        return grouped_attention(grains, tf.transpose(means, [1, 2, 0, 3]), acted, self._zero_vector)


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
