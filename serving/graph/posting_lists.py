"""A catalogue's inverted lists in the graph: from hashes to terms, from terms to the rows of their items."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from serving.catalogue.postings import NO_TERM, Postings
from serving.index.base import variable


class Span(NamedTuple):
    """Pieces `[begin, end)` of `PostingLists.rows`, int64 of any one shape; one that is empty has no rows."""

    begins: tf.Tensor
    ends: tf.Tensor

    @property
    def lengths(self) -> tf.Tensor:
        """How many rows each has."""
        return self.ends - self.begins


class PostingLists(tf.Module):
    """`serving.catalogue.postings.Postings` as variables, each read whole: to gather from one would copy it once."""

    def __init__(self, postings: Postings) -> None:
        super().__init__(name="posting_lists")
        self.size = len(postings.leaf_of)
        self.terms = variable(postings.terms, tf.int64, "terms")
        self.offsets = variable(postings.offsets, tf.int64, "offsets")
        self.rows = variable(postings.rows, tf.int32, "rows")
        self.impacts = variable(postings.impacts, tf.uint8, "impacts")
        self.weights = variable(postings.weights, tf.float32, "weights")
        self.long_terms = variable(postings.long_terms, tf.int32, "long_terms")
        self.best = variable(postings.best, tf.int32, "best")
        self.leaf_of = variable(postings.leaf_of, tf.int32, "leaf_of")
        self.brand_of = variable(postings.brand_of, tf.int32, "brand_of")
        self.prices = variable(postings.prices, tf.float32, "prices")
        self.sorted_prices = variable(postings.sorted_prices, tf.float32, "sorted_prices")

    def numbers(self, terms: tf.Tensor) -> tf.Tensor:
        """int32 numbers of terms by their hashes int64 `[B, n]`; NO_TERM for those that no item has."""
        known = self.terms.read_value()
        places = tf.reshape(tf.searchsorted(known, tf.reshape(terms, [-1])), tf.shape(terms))
        return tf.where(tf.gather(known, places) == terms, places, NO_TERM)

    def spans(self, numbers: tf.Tensor) -> Span:
        """Where the rows of terms are, by number."""
        offsets = self.offsets.read_value()
        begins, ends = tf.gather(offsets, tf.maximum(numbers, 0)), tf.gather(offsets, numbers + 1)
        return Span(tf.where(numbers >= 0, begins, ends), ends)

    def price_spans(self, low: tf.Tensor, high: tf.Tensor) -> Span:
        """Where the rows of items are that cost from `low` to `high`, float32 `[B]`."""
        prices, first = self.sorted_prices.read_value(), self.offsets.read_value()[-1]
        begins, ends = tf.searchsorted(prices, low), tf.searchsorted(prices, high, side="right")
        return Span(first + tf.cast(begins, tf.int64), first + tf.cast(tf.maximum(begins, ends), tf.int64))

    def rows_at(self, places: tf.Tensor) -> tf.Tensor:
        """The rows at places in `rows`, of any shape."""
        return tf.gather(self.rows.read_value(), places)

    def hold(self, begin: tf.Tensor, end: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Which rows `[n]` stand in the list of one term, at `[begin, end)`: bool `[n]`."""
        lists = self.rows.read_value()
        places = begin + tf.searchsorted(lists[begin:end], rows, out_type=tf.int64)
        return (places < end) & (tf.gather(lists, tf.minimum(places, end - 1)) == rows)
