"""The exact answer of one request from a list of rows: each item that meets its conditions is scored."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.text.branches import lazy_loop
from preprocessing.words.lists_in_graph import flat
from serving.graph.item_filter import ItemFilter
from serving.graph.shortest_lists import LookedUp
from serving.index.base import NO_SCORE, Candidates, Index, best_of

_BLOCK = 32_768  # rows: what a request holds at a time, however long its list


def best_of_list(
    index: Index, items: ItemFilter, embedding: tf.Tensor, request: LookedUp, width: tf.Tensor
) -> Candidates:
    """The `width` best for float32 `[dim]` of the items in one request's list: scores and rows `[width]`."""
    begins, ends = (tf.cast(one, tf.int32) for one in (request.lists.begins, request.lists.ends))
    last = tf.cumsum(ends - begins)  # of the pieces, one behind the other
    shift = ends - last

    def step(begin: tf.Tensor, best: Candidates) -> Candidates:
        first, behind = (tf.clip_by_value(place, begin, begin + _BLOCK) for place in (begins - shift, last))
        rows = items.lists.rows_at(flat(first + shift, behind - first).places)
        rows = tf.gather(rows, items.indexed(rows, request.rest))
        scores = tf.linalg.matvec(index.vectors_of(rows), embedding)
        found = best_of([best[0][None], scores[None]], [best[1][None], rows[None]], width)
        return found[0][0], found[1][0]

    start = (tf.fill([width], NO_SCORE), tf.fill([width], -1))
    length = tf.cast(request.lists.lengths, tf.int32)
    return lazy_loop(length, _BLOCK, step, start, (tf.TensorShape([None]), tf.TensorShape([None])))
