"""For each request the shortest list of items that holds all which may meet its conditions, and whether to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from serving.catalogue.postings import NO_TERM
from serving.graph.conditions import Clauses
from serving.graph.posting_lists import PostingLists
from serving.index.base import Effort, Index

_MARGIN = 2  # how many times k a search should be expected to find before it is made


class ShortestLists(NamedTuple):
    """Of B requests, or of one without the first axis."""

    begins: tf.Tensor  # int64 [B, C], the pieces of the list in `PostingLists.rows`
    ends: tf.Tensor  # int64 [B, C]
    lengths: tf.Tensor  # int64 [B], of all pieces together; of the whole catalogue where no condition has a list
    shares: tf.Tensor  # float32 [B], which part of the catalogue meets all conditions if none hangs on another
    has_list: tf.Tensor  # bool [B]
    words: tf.Tensor  # int32 [B, T], numbers of the words that items of the list may lack


def shortest_lists(clauses: Clauses, lists: PostingLists) -> ShortestLists:
    """A clause's list is made of pieces: one for a word or a range of prices, one for each of its leaves or brands."""
    columns = (clauses.word_numbers, clauses.leaf_numbers, clauses.brand_numbers)
    spans = lists.spans(tf.concat(columns, axis=1))
    priced = lists.price_spans(clauses.prices[:, 0], clauses.prices[:, 1])
    begins = tf.concat([spans.begins, priced.begins[:, None]], axis=1)
    ends = tf.concat([spans.ends, priced.ends[:, None]], axis=1)
    counts = [tf.shape(one)[1] for one in columns]
    of_words, *of_names = tf.split(spans.lengths, counts, axis=1)
    sizes = [of_words, *(tf.reduce_sum(one, axis=1, keepdims=True) for one in of_names), priced.lengths[:, None]]
    named = [tf.reduce_any(one != NO_TERM, axis=1, keepdims=True) for one in (clauses.leaves, clauses.brands)]
    given = tf.concat([clauses.words != NO_TERM, *named, clauses.priced[:, None]], axis=1)
    lengths = tf.where(given, tf.concat(sizes, axis=1), lists.size)
    chosen = tf.argmin(tf.where(given, lengths, lists.size + 1), axis=1, output_type=tf.int32)
    words = counts[0]
    clause_of = tf.concat([tf.range(words), tf.repeat(words + tf.range(3), [*counts[1:], 1])], axis=0)
    ends = tf.where(clause_of == chosen[:, None], ends, begins)
    shares = tf.reduce_prod(tf.cast(lengths, tf.float32) / lists.size, axis=1)
    others = tf.where(tf.range(words) == chosen[:, None], NO_TERM, clauses.word_numbers)
    return ShortestLists(
        begins, ends, tf.reduce_sum(ends - begins, axis=1), shares, tf.reduce_any(given, axis=1), others
    )


def no_lists(batch: tf.Tensor) -> ShortestLists:
    """Of requests without conditions."""
    pieces, lengths = tf.zeros([batch, 0], tf.int64), tf.zeros([batch], tf.int64)
    return ShortestLists(
        pieces, pieces, lengths, tf.ones([batch]), tf.zeros([batch], tf.bool), tf.zeros([batch, 0], tf.int32)
    )


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
