"""For each request the shortest list of items that holds all which may meet its conditions, and whether to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.words.word_lists import NO_TERM
from serving.graph.conditions import Clauses, no_clauses
from serving.graph.posting_lists import PostingLists
from serving.index.base import Effort, Index

_NAMED = _LEAVES, _BRANDS, _PRICES = np.arange(3, dtype=np.int32)  # the numbers of clauses; behind them the words'
_MARGIN = 2  # how many times k a search should be expected to find before it is made


class ShortestLists(NamedTuple):
    """Of B requests, or of one without the first axis."""

    begins: tf.Tensor  # int64 [B, C], the pieces of the list in `PostingLists.rows`
    ends: tf.Tensor  # int64 [B, C]
    lengths: tf.Tensor  # int64 [B], of all pieces together; of the whole catalogue where no condition has a list
    shares: tf.Tensor  # float32 [B], which part of the catalogue meets all conditions if none hangs on another
    has_list: tf.Tensor  # bool [B]


class LookedUp(NamedTuple):
    """The conditions of B requests, or of one without the first axis."""

    clauses: Clauses
    lists: ShortestLists
    rest: Clauses  # what items of the list may not meet


def look_up_lists(clauses: Clauses, lists: PostingLists) -> LookedUp:
    """A clause's list is made of pieces: one for each of its leaves or brands, one for a range of prices or a word."""
    leaves, brands = (int(one.shape[1]) for one in (clauses.leaves, clauses.brands))
    priced = lists.price_spans(clauses.prices[:, 0], clauses.prices[:, 1])
    spans = lists.spans(tf.concat([clauses.leaf_numbers, clauses.brand_numbers, clauses.word_numbers], axis=1))
    begins = _with_prices(spans.begins, priced.begins, leaves + brands)
    ends = _with_prices(spans.ends, priced.ends, leaves + brands)
    of_leaves, of_brands = spans.lengths[:, :leaves], spans.lengths[:, leaves : leaves + brands]
    sizes = tf.stack([tf.reduce_sum(of_leaves, 1), tf.reduce_sum(of_brands, 1), priced.lengths], axis=1)
    asked = [tf.reduce_any(one != NO_TERM, axis=1) for one in (clauses.leaves, clauses.brands)]
    given = tf.concat([tf.stack([*asked, clauses.priced], axis=1), clauses.words != NO_TERM], axis=1)
    lengths = tf.where(given, tf.concat([sizes, spans.lengths[:, leaves + brands :]], axis=1), lists.items)
    chosen = tf.argmin(tf.where(given, lengths, lists.items + 1), axis=1, output_type=tf.int32)[:, None]
    words = len(_NAMED) + tf.range(tf.shape(clauses.words)[1])  # the numbers of the words' clauses
    clause_of = tf.concat([np.repeat(_NAMED, [leaves, brands, 1]), words], axis=0)
    ends = tf.where(clause_of == chosen, ends, begins)
    shortest = ShortestLists(
        begins=begins,
        ends=ends,
        lengths=tf.reduce_sum(ends - begins, axis=1),
        shares=tf.reduce_prod(tf.cast(lengths, tf.float32) / lists.items, axis=1),
        has_list=tf.reduce_any(given, axis=1),
    )
    rest = clauses._replace(
        leaves=tf.where(chosen != _LEAVES, clauses.leaves, NO_TERM),
        brands=tf.where(chosen != _BRANDS, clauses.brands, NO_TERM),
        priced=clauses.priced & (chosen[:, 0] != _PRICES),
        word_numbers=tf.where(words == chosen, NO_TERM, clauses.word_numbers),
    )
    return LookedUp(clauses, shortest, rest)


def _with_prices(places: tf.Tensor, prices: tf.Tensor, named: int) -> tf.Tensor:
    """Places `[B, C]` of leaves, brands and words, with one of prices `[B]` before the words'."""
    return tf.concat([places[:, :named], prices[:, None], places[:, named:]], axis=1)


def nothing_to_look_up(batch: tf.Tensor, leaves: int = 0, brands: int = 0, excluded: int = 0) -> LookedUp:
    """Of requests without conditions, as wide as those of a signature that takes some."""
    clauses = no_clauses(batch, leaves, brands, excluded)
    pieces, lengths = tf.zeros([batch, 0], tf.int64), tf.zeros([batch], tf.int64)
    none = ShortestLists(pieces, pieces, lengths, tf.ones([batch]), clauses.given)
    return LookedUp(clauses, none, clauses)


def first_searches(found: ShortestLists, k: tf.Tensor, index: Index, efforts: Sequence[Effort]) -> tf.Tensor:
    """With which of E efforts to look first for each request: int32 `[B]`, E where to read its list is no dearer.

    An effort is worth its time where the k wanted may be expected among its candidates, several times over.
    """
    candidates = np.array([effort.candidates for effort in efforts], np.float32)
    enough = candidates * found.shares[:, None] >= _MARGIN * tf.cast(k, tf.float32)[:, None]
    first = tf.argmax(tf.concat([enough, tf.ones_like(enough[:, :1])], axis=1), axis=1, output_type=tf.int32)
    costs = np.array([*(index.cost(effort) for effort in efforts), np.inf], np.float32)
    dearer = tf.cast(found.lengths, tf.float32) <= tf.gather(costs, first)
    return tf.where(found.has_list, tf.where(dearer, len(efforts), first), 0)
