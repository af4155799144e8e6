"""The channel of words: of each request the items whose words say what its query says, by BM25."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from preprocessing.text.branches import lazy_cond, lazy_loop
from preprocessing.words.lists_in_graph import flat
from preprocessing.words.word_lists import BEST, NO_TERM
from preprocessing.words.word_search import AskedWords, WordSearch
from serving.graph.conditions import Clauses
from serving.graph.item_filter import ItemFilter
from serving.graph.shortest_lists import shortest_lists
from serving.index.base import NO_SCORE, Candidates, best_of

_SHORT = 8 * BEST  # rows: what is read of a list of items, however long a query's words' own lists are


class WordChannel(tf.Module):
    """Searches the word lists of an index's items, and the words of the fresh ones behind."""

    def __init__(self, search: WordSearch, items: ItemFilter) -> None:
        super().__init__(name="word_channel")
        self.search, self.filter = search, items

    def __call__(self, asked: AskedWords, depth: tf.Tensor, clauses: Clauses, sifted: tf.Tensor) -> Candidates:
        """The best of what was asked `[B, ...]` among the items that meet the clauses of their request.

        Args:
          asked: words of queries.
          depth: int32 `[B]`, how many are wanted.
          clauses: of the same requests.
          sifted: bool scalar, whether any item may not be an answer: false spares the look.

        Returns:
          `[B, max depth]`.
        """
        width = tf.reduce_max(depth)
        nothing = (tf.fill([tf.size(depth), width], NO_SCORE), tf.fill([tf.size(depth), width], -1))
        wanted = tf.where(tf.reduce_any(asked.terms != NO_TERM, axis=1) & (depth > 0))[:, 0]

        def step(place: tf.Tensor, best: Candidates) -> Candidates:
            request = wanted[place]
            its = tf.nest.map_structure(lambda one: tf.gather(one, request), clauses)
            found = self._best(asked.of(request), width, its, sifted)
            return tuple(
                tf.tensor_scatter_nd_update(one, [[request]], other[None])
                for one, other in zip(best, found, strict=True)
            )

        scores, rows = lazy_loop(tf.size(wanted), 1, step, nothing)
        inside = tf.range(width)[None, :] < depth[:, None]
        return tf.where(inside, scores, NO_SCORE), tf.where(inside, rows, -1)

    def _best(self, asked: AskedWords, width: tf.Tensor, clauses: Clauses, sifted: tf.Tensor) -> Candidates:
        """The `[width]` best of one request."""

        def keep(rows: tf.Tensor) -> tf.Tensor:
            return lazy_cond(sifted, lambda: self._kept(rows, clauses), lambda: tf.ones_like(rows, tf.bool))

        scores, rows = self._of_list(asked, width, clauses, sifted, lambda: self.search.best(asked, width, keep))

        def with_fresh() -> Candidates:
            terms, impacts = self.filter.fresh_words.read_value(), self.filter.fresh_impacts.read_value()
            fresh = self.search.fresh_scores(asked, terms, impacts)
            fresh = tf.where(self.filter.fresh(clauses) & (fresh > 0), fresh, NO_SCORE)
            numbers = self.filter.lists.items + tf.range(tf.size(fresh))
            best = best_of([scores[None], fresh[None]], [rows[None], numbers[None]], width)
            return best[0][0], best[1][0]

        return lazy_cond(self.filter.fresh_count() > 0, with_fresh, lambda: (scores, rows))

    def _of_list(
        self,
        asked: AskedWords,
        width: tf.Tensor,
        clauses: Clauses,
        sifted: tf.Tensor,
        otherwise: Callable[[], Candidates],
    ) -> Candidates:
        """The best of a short list that has all items which meet the clauses, where a word's own would be read in part.

        Of a long word's best postings few may meet the clauses, and behind them there are more.
        """
        lists = self.filter.lists
        if not lists.first:  # no word is long
            return otherwise()

        def of_list() -> Candidates:
            shortest = shortest_lists(tf.nest.map_structure(lambda one: one[None], clauses), lists)
            begins = tf.cast(shortest.begins[0], tf.int32)

            def read() -> Candidates:
                places = flat(begins, tf.cast(shortest.ends[0], tf.int32) - begins).places
                rows = lists.rows_at(places)
                return self.search.best_among(asked, tf.gather(rows, self.filter.indexed(rows, clauses)), width)

            return lazy_cond(shortest.has_list[0] & (shortest.lengths[0] <= _SHORT), read, otherwise)

        return lazy_cond(sifted & clauses.given & self.search.reads_best_alone(asked), of_list, otherwise)

    def _kept(self, rows: tf.Tensor, clauses: Clauses) -> tf.Tensor:
        """Which rows `[n]` are alive and meet one request's clauses: bool `[n]`."""
        places = self.filter.indexed(rows, clauses)
        held = tf.reduce_all((clauses.words == NO_TERM) | (clauses.word_numbers != NO_TERM))  # of no item: by none
        kept = tf.fill(tf.shape(places), held)
        return tf.scatter_nd(places[:, None], kept, tf.shape(rows, tf.int64)[:1])
