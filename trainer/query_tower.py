"""The query tower of MGDSPR: six grains of the query, three horizons of the user, fused at `[CLS]`."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tf_keras as keras

from preprocessing.history import LONG_ACTIONS
from preprocessing.records import ATTRIBUTES
from trainer.config import ModelConfig
from trainer.layers import Embeddings, SelfAttention, TransformerBlock, attend, masked_mean, with_zero_row

Features = Mapping[str, tf.RaggedTensor]
_LONG_ATTRIBUTES = ("item", "shop", "leaf", "brand")


def dense(ids: tf.RaggedTensor) -> tf.Tensor:
    """Ragged ids padded with 0, at least one wide, so that every mask has a shape to reduce."""
    padded = ids.to_tensor()
    widths = [[0, 0]] + [[0, tf.maximum(0, 1 - tf.shape(padded)[axis])] for axis in range(1, padded.shape.rank)]
    return tf.pad(padded, widths)


class QueryGrains(keras.layers.Layer):
    """Q_mgs: the grains of the query, `[b, grains, d]`."""

    def __init__(self, config: ModelConfig, embeddings: Embeddings) -> None:
        super().__init__(name="query_grains")
        self._grains = config.grains
        self._embeddings = embeddings
        self._transformer = TransformerBlock(config.dim, config.heads, "word_sequence")

    def call(self, features: Features) -> tf.Tensor:  # type: ignore[override]
        grains = {name: self._mean(name, features[f"query_{name}"]) for name in ("char", "bigram", "word")}
        words = dense(features["query_word"])
        embedded = self._embeddings.of("word", words)
        found = [grains[name] for name in grains if getattr(self._grains, name)]
        if self._grains.word_sequence:
            found.append(masked_mean(self._transformer(embedded, words > 0), words > 0))
        if self._grains.history:
            past = dense(features["history_word"])
            queries = masked_mean(self._embeddings.of("word", past), past > 0)
            found.append(attend(grains["word"][:, None], queries, tf.reduce_any(past > 0, axis=2))[:, 0])
        if self._grains.mix:
            found.append(tf.add_n(found))
        return tf.stack(found, axis=1)

    def _mean(self, grain: str, ragged: tf.RaggedTensor) -> tf.Tensor:
        ids = dense(ragged)
        return masked_mean(self._embeddings.of(grain, ids), ids > 0)


class RealTime(keras.layers.Layer):
    """H_real: today's items through an LSTM and self-attention, attended by the query."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(name="realtime")
        self._lstm = keras.layers.LSTM(config.dim, return_sequences=True)
        self._attention = SelfAttention(config.dim, config.heads, "attention")

    def call(self, grains: tf.Tensor, items: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:  # type: ignore[override]
        lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        oldest_first = tf.reverse_sequence(items, lengths, seq_axis=1)
        rows = self._attention(self._lstm(oldest_first) * tf.cast(mask, items.dtype)[..., None], mask)
        return attend(grains, *with_zero_row(rows, mask))


class ShortTerm(keras.layers.Layer):
    """H_short: the days before through self-attention, attended by the query."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(name="short")
        self._attention = SelfAttention(config.dim, config.heads, "attention")

    def call(self, grains: tf.Tensor, items: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:  # type: ignore[override]
        return attend(grains, *with_zero_row(self._attention(items, mask), mask))


class LongTerm(keras.layers.Layer):
    """H_long: for item, shop, leaf and brand the means of what was clicked, ordered, collected; their sum."""

    def __init__(self, embeddings: Embeddings) -> None:
        super().__init__(name="long")
        self._embeddings = embeddings

    def call(self, grains: tf.Tensor, features: Features) -> tf.Tensor:  # type: ignore[override]
        return tf.add_n([self._of(attribute, grains, features) for attribute in _LONG_ATTRIBUTES])

    def _of(self, attribute: str, grains: tf.Tensor, features: Features) -> tf.Tensor:
        ids = [dense(features[f"{horizon}_{attribute}"]) for horizon in LONG_ACTIONS]
        means = tf.stack([masked_mean(self._embeddings.of(attribute, one), one > 0) for one in ids], axis=1)
        some = tf.stack([tf.reduce_any(one > 0, axis=1) for one in ids], axis=1)
        return attend(grains, *with_zero_row(means, some))


class QueryTower(keras.Model):
    """Requests to vectors `[b, d]`."""

    def __init__(self, config: ModelConfig, embeddings: Embeddings) -> None:
        super().__init__(name="query_tower")
        self._horizons = config.horizons
        self._embeddings = embeddings
        self._grains = QueryGrains(config, embeddings)
        self._behaviour = keras.layers.Dense(config.dim, name="behaviour")  # an item's five ids to the width
        self._realtime, self._short, self._long = RealTime(config), ShortTerm(config), LongTerm(embeddings)
        self._cls = self.add_weight("cls", [1, 1, config.dim], initializer="random_normal")
        self._fusion = SelfAttention(config.dim, config.heads, "fusion")

    def call(self, features: Features) -> tf.Tensor:  # type: ignore[override]
        grains = self._grains(features)
        rows = [tf.repeat(self._cls, tf.shape(grains)[0], axis=0), grains]
        if self._horizons.realtime:
            rows.append(self._realtime(grains, *self._items("realtime", features)))
        if self._horizons.short:
            rows.append(self._short(grains, *self._items("short", features)))
        if self._horizons.long:
            rows.append(self._long(grains, features))
        together = tf.concat(rows, axis=1)
        return self._fusion(together, tf.ones(tf.shape(together)[:2], tf.bool))[:, 0]

    def _items(self, horizon: str, features: Features) -> tuple[tf.Tensor, tf.Tensor]:
        """A horizon's items `[b, n, d]` and where they are."""
        ids = {name: dense(features[f"{horizon}_{name}"]) for name in ATTRIBUTES}
        joined = tf.concat([self._embeddings.of(name, ids[name]) for name in ATTRIBUTES], axis=-1)
        mask = ids["item"] > 0
        return self._behaviour(joined) * tf.cast(mask, tf.float32)[..., None], mask
