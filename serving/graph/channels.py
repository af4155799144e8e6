"""The channels of retrieval: what a query's vector finds and what its words find, fused into one answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from preprocessing.text.branches import lazy_cond
from preprocessing.words.channel_fusion import NEITHER, VECTOR, Fusion, depth_of, fuse
from preprocessing.words.query_kinds import QueryKinds
from serving.graph.conditions import Conditions
from serving.graph.over_retrieval import OverRetrieval
from serving.graph.shortest_lists import LookedUp
from serving.graph.word_channel import WordChannel
from serving.index.base import Candidates


class Found(NamedTuple):
    """The answers to B requests, best first; behind them nothing."""

    scores: tf.Tensor  # float32 [B, width], NO_SCORE for none
    rows: tf.Tensor  # int32 [B, width], -1 for none
    channels: tf.Tensor  # int32 [B, width], which channel found the item, 0 for none


class Channels(tf.Module):
    """Asks both channels, but not one of weight 0, which need not be there.

    What a request gets depends on nothing but itself.
    """

    def __init__(
        self,
        vectors: OverRetrieval,
        words: WordChannel | None,
        fusion: Fusion,
        widths: Mapping[str, int],
        kinds: QueryKinds | None = None,
    ) -> None:
        super().__init__(name="channels")
        self.vectors, self.words, self.fusion, self.kinds = vectors, words, fusion, kinds
        self._widths = dict(widths)

    def __call__(
        self, embeddings: tf.Tensor, words: tf.RaggedTensor, k: tf.Tensor, conditions: Conditions | None
    ) -> Found:
        """The best for float32 `[B, dim]`, the words of B queries and int32 `[B]` k: `[B, max k]`."""
        k = tf.clip_by_value(k, 0, self.vectors.max_k)
        if self.words is None:
            scores, rows = self.vectors(embeddings, k, conditions)
            return Found(scores, rows, tf.where(rows >= 0, VECTOR, NEITHER))
        conditions = conditions or Conditions.none(tf.size(k), self._widths)
        depth = tf.where(k > 0, tf.minimum(depth_of(k), self.vectors.max_k), 0)
        width, known = tf.maximum(tf.reduce_max(k), 0), self.vectors.look_up(conditions)
        vector = self._vector(embeddings, depth, conditions, known)

        def fused() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            weights = self.fusion.of(self.kinds_of(words))
            return fuse(self.fusion.by, vector, self._words(words, depth, known), weights, k, width)

        def nothing() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            none = tf.zeros([tf.size(k), 0], tf.int32)
            return tf.cast(none, tf.float32), none, none

        return Found(*lazy_cond(width > 0, fused, nothing))  # one body for every signature

    def kinds_of(self, words: tf.RaggedTensor) -> tf.Tensor:
        """The kinds int32 `[B]` of queries by their words; all are of one where weights hang on none."""
        return self.kinds(words) if self.kinds else tf.zeros([words.nrows(tf.int32)], tf.int32)

    def lists(
        self, embeddings: tf.Tensor, words: tf.RaggedTensor, depth: tf.Tensor, conditions: Conditions
    ) -> tuple[Candidates, Candidates]:
        """What each channel finds by itself, `[B, max depth]`, for whoever fuses the lists of several models."""
        depth = tf.clip_by_value(depth, 0, self.vectors.max_k)
        known = self.vectors.look_up(conditions)
        width, by_words = tf.reduce_max(depth), self._words(words, depth, known)
        return self._vector(embeddings, depth, conditions, known), (by_words[0][:, :width], by_words[1][:, :width])

    def _vector(self, embeddings: tf.Tensor, depth: tf.Tensor, conditions: Conditions, known: LookedUp) -> Candidates:
        if not self.fusion.asks_vectors:
            none = tf.zeros([tf.size(depth), 0], tf.int32)
            return tf.cast(none, tf.float32), none
        return self.vectors(embeddings, depth, conditions, known)

    def _words(self, words: tf.RaggedTensor, depth: tf.Tensor, known: LookedUp) -> Candidates:
        assert self.words is not None
        sifted = self.vectors.amended | tf.reduce_any(known.clauses.given)
        return self.words(self.words.search.asked(words), depth, known, sifted)
