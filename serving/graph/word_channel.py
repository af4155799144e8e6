"""The channel of words: of each request the items whose words say what its query says, by BM25."""

from __future__ import annotations

import functools

import tensorflow as tf

from preprocessing.text.branches import lazy_cond, lazy_loop
from preprocessing.words.asked_words import AskedWords
from preprocessing.words.lists_in_graph import flat
from preprocessing.words.word_lists import BEST, NO_TERM
from preprocessing.words.word_search import Kept, WordSearch
from serving.graph.conditions import Clauses
from serving.graph.item_filter import ItemFilter
from serving.graph.shortest_lists import LookedUp
from serving.index.base import NO_SCORE, Candidates, best_of

_SHORT = 8 * BEST  # rows: what is read of a list of items, however long a query's words' own lists are


class WordChannel(tf.Module):
    """Searches the word lists of an index's items, and the words of the fresh ones behind."""

    def __init__(self, search: WordSearch, items: ItemFilter) -> None:
        super().__init__(name="word_channel")
        self.search, self.filter = search, items
        self._long = items.lists.first > 0  # whether any word is

    def __call__(self, asked: AskedWords, depth: tf.Tensor, known: LookedUp, sifted: tf.Tensor) -> Candidates:
        """The best of what was asked `[B, ...]` among the items that meet the conditions of their request.

        Args:
          asked: words of queries.
          depth: int32 `[B]`, how many are wanted.
          known: conditions of the same requests.
          sifted: bool scalar, whether any item may not be an answer: false spares the look.

        Returns:
          `[B, max depth]`, at least one.
        """
        width, listed = tf.maximum(tf.reduce_max(depth), 1), self._reads_list(asked, known)
        read = asked._replace(numbers=tf.where(listed[:, None], NO_TERM, asked.numbers)) if self._long else asked
        best = self.search.search(read, width, Kept(sifted, functools.partial(self._kept, known.clauses)))
        best = self._of_lists(asked, listed, known, best) if self._long else best
        best = lazy_cond(self.filter.fresh_count() > 0, lambda: self._with_fresh(asked, known, best), lambda: best)
        inside, (scores, rows) = tf.range(width) < depth[:, None], best
        return tf.where(inside, scores, NO_SCORE), tf.where(inside, rows, -1)

    def _kept(self, clauses: Clauses, requests: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Which rows `[n]` are alive and meet the clauses of their rising requests: bool `[n]`."""
        given = tf.gather(clauses.given, requests)
        there = self.filter.are_alive(rows)
        asking = tf.unique(tf.boolean_mask(requests, given)).y

        def step(place: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
            request = asking[place]
            mine = tf.where(requests == request)[:, 0]
            its = tf.nest.map_structure(lambda one: one[request], clauses)
            held = tf.reduce_all((its.words == NO_TERM) | (its.word_numbers != NO_TERM))  # of no item: by none
            places = tf.gather(mine, self.filter.indexed(tf.gather(rows, mine), its))
            return tf.concat([kept, tf.boolean_mask(places, tf.fill(tf.shape(places), held))], axis=0)

        others = tf.where(there & ~given)[:, 0]
        kept = lazy_loop(tf.size(asking), 1, step, others, tf.TensorShape([None]))
        return tf.scatter_nd(kept[:, None], tf.ones_like(kept, tf.bool), tf.shape(rows, tf.int64))

    def _reads_list(self, asked: AskedWords, known: LookedUp) -> tf.Tensor:
        """For which requests `[B]` a short list has all items that may be found, where words' own are read in part.

        Of a long word's best postings few may meet the conditions, and behind them there are more.
        """
        return known.lists.has_list & (known.lists.lengths <= _SHORT) & self.search.reads_best_alone(asked)

    def _of_lists(self, asked: AskedWords, listed: tf.Tensor, known: LookedUp, best: Candidates) -> Candidates:
        """What was found so far, for some requests the best of their lists."""
        turn, width = tf.cast(tf.where(listed)[:, 0], tf.int32), tf.shape(best[1])[1]

        def step(place: tf.Tensor, best: Candidates) -> Candidates:
            request = turn[place]
            its = tf.nest.map_structure(lambda one: one[request], known)
            begins = tf.cast(its.lists.begins, tf.int32)
            rows = self.filter.lists.rows_at(flat(begins, tf.cast(its.lists.ends, tf.int32) - begins).places)
            rows = tf.gather(rows, self.filter.indexed(rows, its.rest))
            return _replaced(best, request, self.search.best_among(asked.part(request, request + 1), rows, width))

        return lazy_loop(tf.size(turn), 1, step, best)

    def _with_fresh(self, asked: AskedWords, known: LookedUp, best: Candidates) -> Candidates:
        """What was found so far and the fresh items, request by request."""
        terms, impacts = self.filter.fresh_words.read_value(), self.filter.fresh_impacts.read_value()
        numbers, width = self.filter.lists.items + tf.range(tf.shape(terms)[0]), tf.shape(best[1])[1]

        def step(request: tf.Tensor, best: Candidates) -> Candidates:
            its = tf.nest.map_structure(lambda one: one[request], known.clauses)
            scores = self.search.fresh_scores(asked.part(request, request + 1), terms, impacts)
            scores = tf.where(self.filter.fresh(its) & (scores > 0), scores, NO_SCORE)
            found = best[0][request][None], best[1][request][None]
            return _replaced(best, request, best_of([found[0], scores], [found[1], numbers[None]], width))

        return lazy_loop(tf.shape(best[1])[0], 1, step, best)


def _replaced(best: Candidates, request: tf.Tensor, found: Candidates) -> Candidates:
    """What was found `[B, width]`, for one request anew `[1, width]`."""
    scores, rows = (
        tf.tensor_scatter_nd_update(one, [[request]], other) for one, other in zip(best, found, strict=True)
    )
    return scores, rows
