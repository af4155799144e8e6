"""The query in grains: means of grams, a sequence, the user's previous queries, and their sum."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.config_models import GrainsConfig
from trainer.towers.attention import TransformerBlock
from trainer.towers.embeddings import Tables
from trainer.towers.lists import Ids, Lists
from trainer.towers.previous_queries import attend_previous
from trainer.towers.sequences import Sequences


class QueryGrains(tf.keras.layers.Layer):
    """Q_mgs: each grain of the query as a vector."""

    def __init__(self, tables: Tables, dim: int, config: GrainsConfig, longest: int) -> None:
        super().__init__(name="query_grains")
        self.tables = tables
        self._config = config
        self.columns = {f"query_{gram}" for gram in config.grams} | ({"history_word"} if config.history else set())
        self.names: list[str] = [*config.grams]
        self.names += [name for name in ("sequence", "history", "mix") if getattr(config, name)]
        if config.sequence:
            self._sequence = TransformerBlock(dim, config.sequence_heads, config.sequence_hidden, longest, "sequence")

    def call(self, features: dict[str, Any], alone: bool = False) -> tf.Tensor:
        """-> Q_mgs `[B, g, d]`, in the order of `names`; `alone`: of a user without previous queries."""
        grains: dict[str, tf.Tensor] = {}
        for gram in self._config.grams:
            grains[gram] = self.tables.mean(gram, features[f"query_{gram}"])
        if self._config.sequence:
            grains["sequence"] = self._read(features["query_word"])
        if self._config.history and alone:
            grains["history"] = tf.zeros_like(grains["word"])
        elif self._config.history:
            grains["history"] = attend_previous(grains["word"], features["history_word"], self.tables)
        if self._config.mix:
            grains["mix"] = tf.add_n(list(grains.values()))
        return tf.stack(list(grains.values()), axis=1)

    def _read(self, words: Ids) -> tf.Tensor:
        """q_seg_seq: the mean of the Transformer's outputs over the words."""
        lists = Lists.of(words)
        rows = self.tables.rows("word", lists.members(words)[0])
        return lists.mean(self._sequence(rows, Sequences.of(lists)))
