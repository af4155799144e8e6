"""The exact answer of one request from a list of rows: each item that meets its conditions is scored."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.text.branches import lazy_loop
from serving.graph.conditions import Clauses
from serving.graph.item_filter import ItemFilter
from serving.graph.shortest_lists import ShortestLists
from serving.index.base import NO_SCORE, Candidates, Index, best_of

_BLOCK = 32_768  # rows: what a request holds at a time, however long its list


def best_of_list(
    index: Index,
    items: ItemFilter,
    embedding: tf.Tensor,
    clauses: Clauses,
    shortest: ShortestLists,
    width: tf.Tensor,
) -> Candidates:
    """The `width` best for float32 `[dim]` of the items in one request's list: scores and rows `[width]`."""
    there = shortest.begins < shortest.ends
    begins = tf.boolean_mask(shortest.begins, there)
    lengths = tf.boolean_mask(shortest.ends, there) - begins
    ends = tf.cumsum(lengths)  # of the pieces, one behind the other
    shift = begins - (ends - lengths)
    to_check = clauses._replace(word_numbers=shortest.words)

    def step(begin: tf.Tensor, best: Candidates) -> Candidates:
        numbers = tf.range(begin, tf.minimum(begin + _BLOCK, shortest.lengths))
        rows = items.lists.rows_at(numbers + tf.gather(shift, tf.searchsorted(ends, numbers, side="right")))
        rows = tf.gather(rows, items.indexed(rows, to_check))
        scores = tf.linalg.matvec(index.vectors_of(rows), embedding)
        found = best_of([best[0][None], scores[None]], [best[1][None], rows[None]], width)
        return found[0][0], found[1][0]

    start = (tf.fill([width], NO_SCORE), tf.fill([width], -1))
    return lazy_loop(shortest.lengths, _BLOCK, step, start, (tf.TensorShape([None]), tf.TensorShape([None])))
