"""More like an item: the neighbours of the vector that the index itself has of it."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.text.branches import lazy_cond
from serving.catalogue.data_records import Strings
from serving.graph.conditions import Conditions
from serving.graph.over_retrieval import OverRetrieval
from serving.index.base import NO_SCORE, Candidates


class SimilarItems(tf.Module):
    """Searches by items' own vectors, which takes no table besides: those of an index of int8 are as it has them.

    Args:
      over_retrieval: of the items.
      looks_up: whether conditions are looked up before the search, as where words are searched as well: one graph then
        has one body for both.
    """

    def __init__(self, over_retrieval: OverRetrieval, looks_up: bool) -> None:
        super().__init__(name="similar_items")
        self.over_retrieval, self.items = over_retrieval, over_retrieval.items
        self._looks_up = looks_up

    def __call__(self, inputs: Strings) -> Strings:
        """`item_id` `[B]`, k and conditions -> the k best that meet them without the item `[B, max k]`.

        And `known`, int32 `[B]`, and the item's vector `[B, dim]`: of one that is not known zeros, and no neighbours.
        """
        rows = self.items.rows(inputs["item_id"])
        known, vectors = rows >= 0, self._vectors(rows)
        k = tf.clip_by_value(inputs["k"], 0, self.over_retrieval.max_k)
        with_itself = k + tf.cast(k > 0, tf.int32)
        conditions = Conditions.read(inputs, self.items.wanted_words)
        looked_up = self.over_retrieval.look_up(conditions) if self._looks_up else None
        candidates = self.over_retrieval(vectors, with_itself, conditions, looked_up)
        scores, found = _without(candidates, rows)
        there = (tf.range(tf.shape(found)[1]) < k[:, None]) & known[:, None]
        return {
            "item_ids": self.items.ids_of(tf.where(there, found, -1)),
            "scores": tf.where(there, scores, NO_SCORE),
            "known": tf.cast(known, tf.int32),
            "embedding": tf.where(known[:, None], vectors, 0.0),
        }

    def _vectors(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 `[B, dim]` of rows, fresh ones too; of -1 those of some item."""
        index = self.over_retrieval.index
        indexed = index.vectors_of(tf.clip_by_value(rows, 0, index.size - 1))
        are_fresh = rows >= index.size

        def with_fresh() -> tf.Tensor:
            fresh = tf.gather(self.over_retrieval.fresh.read_value(), tf.maximum(rows - index.size, 0))
            return tf.where(are_fresh[:, None], fresh, indexed)

        return lazy_cond(tf.reduce_any(are_fresh), with_fresh, lambda: indexed)


def _without(found: Candidates, rows: tf.Tensor) -> Candidates:
    """What was found `[B, width + 1]` without one row `[B]` each, or else without the last: `[B, width]`."""
    reached = tf.cumsum(tf.cast(found[1] == rows[:, None], tf.int32), axis=1)[:, :-1] > 0
    scores, found_rows = (tf.where(reached, one[:, 1:], one[:, :-1]) for one in found)
    return scores, found_rows
