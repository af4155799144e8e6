"""A catalogue's inverted lists in the graph: besides words those of leaves, brands and prices."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.words.lists_in_graph import ListsInGraph, Span, lower_bounds
from serving.catalogue.postings import Postings
from serving.index.base import variable


class PostingLists(ListsInGraph):
    """`serving.catalogue.postings.Postings` as variables."""

    def __init__(self, postings: Postings) -> None:
        super().__init__(postings.lists, name="posting_lists")
        self.leaf_of = variable(postings.leaf_of, tf.int32, "leaf_of")
        self.brand_of = variable(postings.brand_of, tf.int32, "brand_of")
        self.prices = variable(postings.prices, tf.float32, "prices")
        self.sorted_prices = variable(postings.sorted_prices, tf.float32, "sorted_prices")

    def price_spans(self, low: tf.Tensor, high: tf.Tensor) -> Span:
        """Where the rows of items are that cost from `low` to `high`, float32 `[B]`."""
        prices, first = self.sorted_prices.read_value(), self.offsets.read_value()[-1]
        begins, ends = lower_bounds(prices, low), tf.searchsorted(prices, high, side="right")
        return Span(first + tf.cast(begins, tf.int64), first + tf.cast(tf.maximum(begins, ends), tf.int64))
