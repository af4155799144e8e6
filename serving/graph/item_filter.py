"""Which items meet the conditions of one request: the index's by the inverted lists, fresh ones one by one."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from preprocessing.text.branches import lazy_cond, lazy_loop
from preprocessing.words.word_lists import NO_TERM
from serving.graph.conditions import Clauses, Conditions, among, look_up
from serving.graph.item_lookup import ItemLookup
from serving.graph.posting_lists import PostingLists
from serving.index.base import variable


class ItemFilter(tf.Module):
    """N items with inverted lists, and F fresh ones behind, whose words, leaf, brand and price stand here."""

    def __init__(self, items: ItemLookup, lists: PostingLists) -> None:
        super().__init__(name="item_filter")
        self.items, self.lists = items, lists
        # [1 + N + F], of row -1 and those of items: false for no item and for tombstones
        self.alive = variable(tf.range(-1, lists.items) >= 0, tf.bool, "alive", grows=True)
        none = np.zeros(0, np.int64)
        self.fresh_words = _grows_both_ways(tf.int64, "fresh_words")  # terms [F, words], NO_TERM behind
        self.fresh_impacts = _grows_both_ways(tf.uint8, "fresh_impacts")  # of these words
        self.fresh_leaves = variable(none, tf.int64, "fresh_leaves", grows=True)  # terms [F], NO_TERM for none
        self.fresh_brands = variable(none, tf.int64, "fresh_brands", grows=True)
        self.fresh_prices = variable(none, tf.float32, "fresh_prices", grows=True)  # NaN for none

    def look_up(self, conditions: Conditions) -> Clauses:
        """The conditions as they are looked up."""
        return look_up(conditions, self.items, self.lists)

    def fresh_count(self) -> tf.Tensor:
        """F."""
        return tf.size(self.fresh_prices)

    def are_alive(self, rows: tf.Tensor) -> tf.Tensor:
        """Which rows of any shape are of items that are there: bool of that shape."""
        return tf.gather(self.alive.read_value(), rows + 1)

    def indexed(self, rows: tf.Tensor, clauses: Clauses) -> tf.Tensor:
        """Which of the index's items are alive and meet one request's clauses: rows `[n]` -> places in them `[m]`."""
        met = functools.partial(self._indexed, rows, clauses)
        return lazy_cond(clauses.given, met, lambda: tf.where(self.are_alive(rows))[:, 0])

    def _indexed(self, rows: tf.Tensor, clauses: Clauses) -> tf.Tensor:
        lists, row = self.lists, tf.maximum(rows, 0)
        met = self.are_alive(rows)
        met &= _named(lists.leaf_of, row, clauses.leaves, clauses.leaf_numbers)
        met &= _named(lists.brand_of, row, clauses.brands, clauses.brand_numbers)
        met &= _given(clauses.excluded >= 0, lambda: ~among(rows, clauses.excluded), rows)
        met &= _given(clauses.priced, lambda: _in_range(tf.gather(lists.prices.read_value(), row), clauses), rows)
        return self._with_words(rows, tf.where(met)[:, 0], clauses)

    def _with_words(self, rows: tf.Tensor, places: tf.Tensor, clauses: Clauses) -> tf.Tensor:
        """The places whose items have all words that are to be looked for: word after word, ever fewer places."""
        numbers = tf.boolean_mask(clauses.word_numbers, clauses.word_numbers != NO_TERM)
        spans = self.lists.spans(numbers)

        def narrowed(word: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
            held = self.lists.hold(spans.begins[word], spans.ends[word], tf.gather(rows, places))
            return tf.boolean_mask(places, held)

        return lazy_loop(tf.size(numbers), 1, narrowed, places, tf.TensorShape([None]))

    def fresh(self, clauses: Clauses) -> tf.Tensor:
        """Which of the fresh items are alive and meet one request's clauses: bool `[F]`."""
        rows = self.lists.items + tf.range(self.fresh_count())
        return lazy_cond(clauses.given, lambda: self._fresh(rows, clauses), lambda: self.are_alive(rows))

    def _fresh(self, rows: tf.Tensor, clauses: Clauses) -> tf.Tensor:
        met = self.are_alive(rows) & _in_range(self.fresh_prices.read_value(), clauses)
        for allowed, terms in ((clauses.leaves, self.fresh_leaves), (clauses.brands, self.fresh_brands)):
            found = tf.reduce_any((terms.read_value()[:, None] == allowed) & (allowed != NO_TERM), axis=1)
            met &= found | tf.reduce_all(allowed == NO_TERM)
        has = tf.reduce_any(self.fresh_words.read_value()[:, :, None] == clauses.words, axis=1)
        met &= tf.reduce_all(has | (clauses.words == NO_TERM), axis=1)
        return met & ~among(rows, clauses.excluded)


def _grows_both_ways(dtype: tf.DType, name: str) -> tf.Variable:
    return tf.Variable(tf.zeros([0, 0], dtype), trainable=False, dtype=dtype, name=name, shape=[None, None])


def _named(of_items: tf.Variable, rows: tf.Tensor, terms: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Which rows' items are of one of the terms; all are where there is none."""
    return _given(terms != NO_TERM, lambda: among(tf.gather(of_items.read_value(), rows), numbers), rows)


def _given(there: tf.Tensor, met: Callable[[], tf.Tensor], rows: tf.Tensor) -> tf.Tensor:
    """Which rows meet a condition; all do where it is not given."""
    return lazy_cond(tf.reduce_any(there), met, lambda: tf.ones_like(rows, tf.bool))


def _in_range(prices: tf.Tensor, clauses: Clauses) -> tf.Tensor:
    low, high = clauses.prices[0], clauses.prices[1]
    return (prices >= low) & (prices <= high) | ~clauses.priced
