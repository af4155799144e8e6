"""From an index to K answers that meet every condition: over-retrieve, and look harder for those who come short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from preprocessing.text.lazy_cond import lazy_cond
from serving.catalogue.data_records import Strings
from serving.graph.item_lookup import ItemLookup
from serving.index.base import NO_SCORE, Candidates, Effort, Index, best_of, exact_search, variable


class Conditions(NamedTuple):
    """What the items of each request must meet; all `[B, ...]`."""

    words: tf.Tensor  # int64 [B, T], hashes of words that title and brand must hold, -1 for none
    leaves: tf.Tensor  # string [B, A], one of which must be the item's, "" for none

    @classmethod
    def read(cls, items: ItemLookup, inputs: Strings) -> Conditions:
        """Those of a call's inputs `required_terms` and `allowed_leaves`; without any term T is 0."""
        terms = inputs["required_terms"]
        words = lazy_cond(
            tf.reduce_any(terms != ""),
            lambda: items.wanted_words(terms),
            lambda: tf.zeros([tf.shape(terms)[0], 0], tf.int64),
        )
        return cls(words, inputs["allowed_leaves"])

    def of(self, requests: tf.Tensor) -> Conditions:
        """Those of some requests."""
        return Conditions(tf.gather(self.words, requests), tf.gather(self.leaves, requests))

    def any_given(self) -> tf.Tensor:
        """Whether any request has one."""
        return (tf.shape(self.words)[1] > 0) | tf.reduce_any(self.leaves != "")


class OverRetrieval(tf.Module):
    """Searches an index and a side index of fresh items.

    Each request goes through the efforts until it has its k; whoever still lacks some is answered from every item
    there is. What a request gets depends on nothing but itself, so that a server may merge requests as it likes.
    """

    def __init__(self, index: Index, items: ItemLookup, efforts: Sequence[Effort], max_k: int) -> None:
        super().__init__(name="over_retrieval")
        self.max_k = max_k
        self.index, self.items = index, items
        self.efforts = list(efforts)
        # [F, dim], of the rows behind the index's
        self.fresh = variable(tf.zeros([0, index.dim]), tf.float32, "fresh", grows=True)
        # [1 + N + F], of row -1 and those of items: false for no item and for tombstones
        self.alive = variable(tf.range(-1, index.size) >= 0, tf.bool, "alive", grows=True)
        self.amended = variable(tf.constant(False), tf.bool, "amended")  # some are fresh or tombstones

    def __call__(self, embeddings: tf.Tensor, k: tf.Tensor, conditions: Conditions | None) -> Candidates:
        """The best of float32 `[B, dim]` for int32 `[B]` k, of all items without conditions: `[B, max k]`."""
        found = self.index.search(embeddings, self.efforts[0])
        width = tf.maximum(tf.reduce_max(k), 0)
        return lazy_cond(
            self._is_answer(found, k, width, conditions),
            lambda: (found[0][:, :width], found[1][:, :width]),
            lambda: self._answer(found, embeddings, tf.clip_by_value(k, 0, self.max_k), conditions),
        )

    def _is_answer(self, found: Candidates, k: tf.Tensor, width: tf.Tensor, conditions: Conditions | None) -> tf.Tensor:
        """Whether what an index found is the answer as it stands, as it mostly is: nothing to sift or to add."""
        plain = [
            tf.reduce_min(k) == width,
            width <= min(self.efforts[0].candidates, self.index.size, self.max_k),
            tf.reduce_min(found[1], axis=[0, 1]) >= 0,
            ~self.amended,
        ]
        if conditions is not None:
            plain.append(~conditions.any_given())
        return tf.reduce_all(plain, axis=0)

    def _answer(
        self, found: Candidates, embeddings: tf.Tensor, k: tf.Tensor, conditions: Conditions | None
    ) -> Candidates:
        """What is left of what the first effort found, and for those who lack some what the later efforts find."""
        width, batch = tf.maximum(tf.reduce_max(k), 0), tf.shape(embeddings)[0]
        nothing = (tf.fill([batch, width], NO_SCORE), tf.fill([batch, width], -1))
        best, filled = self._sifted(found, embeddings, k, width, conditions)
        scores, rows = self._further(1, tf.where(~filled)[:, 0], best, embeddings, k, width, conditions)
        inside = tf.range(width)[None, :] < k[:, None]
        return tf.where(inside, scores, nothing[0]), tf.where(inside, rows, nothing[1])

    def _sifted(
        self, found: Candidates, embeddings: tf.Tensor, k: tf.Tensor, width: tf.Tensor, conditions: Conditions | None
    ) -> tuple[Candidates, tf.Tensor]:
        """The best `[B, width]` of what an index found and of the fresh items, and whose k they fill `[B]`."""
        scores, rows = self._with_fresh(embeddings, *found)
        scores = tf.where(self._accept(rows, conditions), scores, NO_SCORE)
        best = best_of([scores], [rows], width)
        filled = tf.reduce_sum(tf.cast(scores > NO_SCORE, tf.int32), axis=1) >= k
        return best, filled

    def _further(
        self,
        number: int,
        short: tf.Tensor,
        found: Candidates,
        embeddings: tf.Tensor,
        k: tf.Tensor,
        width: tf.Tensor,
        conditions: Conditions | None,
    ) -> Candidates:
        """Replaces what was found for the requests `short` `[s]` by what the later efforts find."""

        def again() -> Candidates:
            some, ks = tf.gather(embeddings, short), tf.gather(k, short)
            theirs = None if conditions is None else conditions.of(short)
            if number == len(self.efforts):
                return _replaced(found, short, self.everything(some, width, theirs))
            more = self.index.search(some, self.efforts[number])
            better, filled = self._sifted(more, some, ks, width, theirs)
            still = tf.gather(short, tf.where(~filled)[:, 0])
            replaced = _replaced(found, short, better)
            return self._further(number + 1, still, replaced, embeddings, k, width, conditions)

        return lazy_cond(tf.size(short) > 0, again, lambda: found)

    def everything(self, embeddings: tf.Tensor, width: tf.Tensor, conditions: Conditions | None) -> Candidates:
        """The exact answer among all items that meet the conditions."""
        scores, rows = exact_search(self.index, embeddings, width, lambda rows: self._accept(rows, conditions))
        fresh_scores, fresh_rows = self._with_fresh(embeddings, scores[:, :0], rows[:, :0])
        fresh_scores = tf.where(self._accept(fresh_rows, conditions), fresh_scores, NO_SCORE)
        return best_of([scores, fresh_scores], [rows, fresh_rows], width)

    def _with_fresh(self, embeddings: tf.Tensor, scores: tf.Tensor, rows: tf.Tensor) -> Candidates:
        """What an index found, with every fresh item behind."""
        fresh = tf.matmul(embeddings, self.fresh, transpose_b=True)
        numbers = tf.range(self.index.size, self.index.size + tf.shape(fresh)[1])
        fresh_rows = tf.tile(numbers[None, :], [tf.shape(embeddings)[0], 1])
        return tf.concat([scores, fresh], axis=1), tf.concat([rows, fresh_rows], axis=1)

    def _accept(self, rows: tf.Tensor, conditions: Conditions | None) -> tf.Tensor:
        """Which of rows `[B, n]` are of items alive that meet the conditions."""
        alive = tf.gather(self.alive, rows + 1)
        if conditions is None:
            return alive
        return lazy_cond(
            conditions.any_given(),
            lambda: (
                alive & self.items.in_leaves(rows, conditions.leaves) & self.items.have_words(rows, conditions.words)
            ),
            lambda: alive,
        )


def _replaced(found: Candidates, requests: tf.Tensor, better: Candidates) -> Candidates:
    places = requests[:, None]
    scores, rows = (tf.tensor_scatter_nd_update(one, places, other) for one, other in zip(found, better, strict=True))
    return scores, rows


def growing_efforts(chosen: Effort, size: int) -> list[Effort]:
    """The tuned effort first, then ever harder ones: eight times the candidates, twice the leaves each."""
    efforts = [chosen]
    for step in (1, 2):
        candidates = chosen.candidates * 8**step
        if candidates >= size:
            break
        efforts.append(Effort(candidates, chosen.leaves * 2**step, max(chosen.reorder, candidates)))
    return efforts
