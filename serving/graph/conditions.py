"""What the items of a request must meet, as it was sent and as terms, rows and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.text.branches import lazy_cond
from preprocessing.words.item_words import word_hashes
from preprocessing.words.word_lists import NO_TERM, terms_of
from serving.catalogue.data_records import Strings
from serving.graph.item_lookup import ItemLookup
from serving.graph.posting_lists import PostingLists

_NAMED = ("allowed_leaves", "allowed_brands", "excluded_items")
_NO_NUMBER = -2  # of a place without a term, where NO_TERM is an item's that has none


class Conditions(NamedTuple):
    """As they were sent; all `[B, ...]`."""

    words: tf.Tensor  # int64 [B, T], hashes of words that title and brand must hold, -1 for none
    leaves: tf.Tensor  # string [B, A], one of which must be the item's, "" for none
    brands: tf.Tensor  # string [B, G], likewise
    excluded: tf.Tensor  # string [B, E], ids of items that may not be it
    prices: tf.Tensor  # float32 [B, 2], from and to; NaN is an open end

    @classmethod
    def read(cls, inputs: Strings, wanted_words: Callable[[tf.Tensor], tf.Tensor]) -> Conditions:
        """Those of a call; without any term T is 0."""
        terms = inputs["required_terms"]
        words = lazy_cond(
            tf.reduce_any(terms != ""),
            lambda: wanted_words(terms),
            lambda: tf.zeros([tf.shape(terms)[0], 0], tf.int64),
        )
        return cls(words, *(inputs[name] for name in (*_NAMED, "price_range")))

    @classmethod
    def none(cls, batch: tf.Tensor, widths: Mapping[str, int]) -> Conditions:
        """Of B requests that have none, in the form of those that have: one graph answers both."""
        names = tf.fill([batch, sum(widths[name] for name in _NAMED)], "")
        leaves, brands, excluded = tf.split(names, [widths[name] for name in _NAMED], axis=1)
        words, prices = tf.zeros([batch, batch * 0], tf.int64), tf.fill([batch, 2], float("nan"))
        return cls(words, leaves, brands, excluded, prices)

    def any_given(self) -> tf.Tensor:
        """Whether any request has one."""
        names = tf.concat([self.leaves, self.brands, self.excluded], axis=1)
        priced = tf.reduce_any(~tf.math.is_nan(self.prices))
        return (tf.shape(self.words)[1] > 0) | tf.reduce_any(names != "") | priced


class Clauses(NamedTuple):
    """The same as they are looked up: of B requests, or of one without the first axis."""

    words: tf.Tensor  # int64 [B, T], terms; NO_TERM for none
    leaves: tf.Tensor  # int64 [B, A]
    brands: tf.Tensor  # int64 [B, G]
    word_numbers: tf.Tensor  # int32 [B, T], numbers of these terms; NO_TERM for what no item of the index has
    leaf_numbers: tf.Tensor  # int32 [B, A], each once: a further place of it holds NO_TERM
    brand_numbers: tf.Tensor  # int32 [B, G]
    excluded: tf.Tensor  # int32 [B, E], rows; -1 for none
    prices: tf.Tensor  # float32 [B, 2], an open end infinite
    priced: tf.Tensor  # bool [B], whether an item must have a price
    given: tf.Tensor  # bool [B], whether there is any clause

    @property
    def never_given(self) -> bool:
        """Whether these are of a signature that takes no conditions: nothing for them need be in its graph."""
        return bool(self.leaves.shape[1] == 0)


def look_up(conditions: Conditions, items: ItemLookup, lists: PostingLists) -> Clauses:
    """From strings and hashes to terms, numbers and rows."""
    words = tf.where(conditions.words >= 0, terms_of("word", conditions.words), NO_TERM)
    leaves, brands = _terms("leaf", conditions.leaves), _terms("brand", conditions.brands)
    width, names = int(leaves.shape[1]), int(leaves.shape[1]) + int(brands.shape[1])
    terms = tf.concat([leaves, brands, words], axis=1)
    numbers = lists.numbers(terms)
    named = _once(tf.ensure_shape(numbers[:, :names], [None, names]))
    excluded, open_ends = items.rows(conditions.excluded), tf.math.is_nan(conditions.prices)
    priced = ~tf.reduce_all(open_ends, axis=1)
    prices = tf.where(open_ends, tf.constant([-float("inf"), float("inf")]), conditions.prices)
    return Clauses(
        words=words,
        leaves=leaves,
        brands=brands,
        word_numbers=numbers[:, names:],
        leaf_numbers=named[:, :width],
        brand_numbers=named[:, width:],
        excluded=excluded,
        prices=prices,
        priced=priced,
        given=priced | tf.reduce_any(terms != NO_TERM, axis=1) | tf.reduce_any(excluded >= 0, axis=1),
    )


def no_clauses(batch: tf.Tensor, leaves: int = 0, brands: int = 0, excluded: int = 0) -> Clauses:
    """Of requests without conditions, as wide as those of a signature that takes some."""
    terms, of_leaves, of_brands = (tf.fill([batch, width], np.int64(NO_TERM)) for width in (0, leaves, brands))
    gone, priced = tf.fill([batch, excluded], -1), tf.zeros([batch], tf.bool)
    return Clauses(
        words=terms,
        leaves=of_leaves,
        brands=of_brands,
        word_numbers=tf.cast(terms, tf.int32),
        leaf_numbers=tf.cast(of_leaves, tf.int32),
        brand_numbers=tf.cast(of_brands, tf.int32),
        excluded=gone,
        prices=tf.zeros([batch, 2]),
        priced=priced,
        given=priced,
    )


def among(numbers: tf.Tensor, allowed: tf.Tensor) -> tf.Tensor:
    """Which of int32 numbers `[n]` are allowed ones `[m]`, where negative ones are none: bool `[n]`."""
    named = tf.where(allowed >= 0, allowed, _NO_NUMBER)
    return tf.reduce_any(tf.expand_dims(named, 1) == numbers, axis=0)  # m is small: to sort them takes longer


def _terms(kind: str, names: tf.Tensor) -> tf.Tensor:
    return tf.where(names != "", terms_of(kind, word_hashes(names)), NO_TERM)


def _once(numbers: tf.Tensor) -> tf.Tensor:
    """Numbers `[B, n]`, each of a request's only where it stands first: a list must not be read twice."""
    before = np.tril(np.ones([int(numbers.shape[1])] * 2, bool), -1)
    repeated = tf.reduce_any((numbers[:, :, None] == numbers[:, None, :]) & before, axis=2)
    return tf.where(repeated, NO_TERM, numbers)
