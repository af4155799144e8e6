"""The query in grains: means of grams, a sequence, the user's previous queries, and their sum."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.config import GrainsConfig
from trainer.towers.attention import TransformerBlock, query_attention
from trainer.towers.embeddings import Tables
from trainer.towers.ragged import Ids, mean_lists, padded, ragged


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

    def call(self, features: dict[str, Any]) -> tf.Tensor:
        """-> Q_mgs `[B, g, d]`, in the order of `names`."""
        grains: dict[str, tf.Tensor] = {}
        for gram in self._config.grams:
            grains[gram] = self.tables.mean(gram, features[f"query_{gram}"])
        if self._config.sequence:
            grains["sequence"] = self._read(ragged(features["query_word"]))
        if self._config.history:
            grains["history"] = self._recall(grains["word"], features["history_word"])
        if self._config.mix:
            grains["mix"] = tf.add_n(list(grains.values()))
        return tf.stack(list(grains.values()), axis=1)

    def _read(self, words: tf.RaggedTensor) -> tf.Tensor:
        """q_seg_seq: the mean of the Transformer's outputs over the words."""
        rows = self._sequence(words.with_values(self.tables.rows("word", words.values)))
        return mean_lists(rows.values, rows)

    def _recall(self, words: tf.Tensor, history: Ids) -> tf.Tensor:
        """q_his_seq: attention of q_seg over the previous queries, each the mean of its words."""
        previous = previous_queries(history)
        vectors, mask = padded(self.tables.mean("word", previous.values), previous)
        return query_attention(words[:, None], vectors, mask, zero_vector=False)[:, 0]


def previous_queries(history: Ids) -> tf.RaggedTensor:
    """`[B, (queries), (words)]` of padded or ragged word ids, without queries that have no word."""
    if isinstance(history, tf.Tensor):  # [B, N, L], padded with zeros
        batch, width, longest = tf.unstack(tf.shape(history, tf.int64))
        flat = ragged(tf.reshape(history, tf.stack([batch * width, longest])))
        history = tf.RaggedTensor.from_uniform_row_length(flat, width, nrows=batch)
    return tf.ragged.boolean_mask(history, history.with_values(history.values.row_lengths() > 0))
