"""Two channels' lists as one: weighted reciprocal ranks, or weighted scores scaled to each list's own range.

All of it is arithmetic that any language's doubles repeat, and no two items tie, so a client that merges the lists of
shards gives the same answers as the graph does.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

By = Literal["ranks", "scores"]
Candidates = tuple[tf.Tensor, tf.Tensor]  # scores float32 [B, n], rows int32 [B, n]; -inf and -1 behind the last
CONSTANT = 60.0  # of reciprocal ranks: how little the first few places differ
LEAST_DEPTH = 100  # of both lists, however few items are asked for
_ROWS = 2**32  # more than there are
_NOTHING = -float("inf")
_TOGETHER = 64  # requests, outside of a graph
NEITHER, VECTOR, WORDS, BOTH = range(4)  # channels that an item was found by


class Found(NamedTuple):
    """One channel's list of each request outside of a graph, best first."""

    scores: np.ndarray  # float32 [n, D], -inf behind the last
    rows: np.ndarray  # int32 [n, D], -1 behind the last

    def part(self, requests: slice | np.ndarray) -> Found:
        """The lists of some requests."""
        return Found(self.scores[requests], self.rows[requests])

    def first(self, count: int) -> Found:
        """The best `count` of each list."""
        return Found(self.scores[:, :count], self.rows[:, :count])


class Entries(NamedTuple):
    """Both lists side by side, the vectors' first."""

    gains: tf.Tensor  # float64 [B, n], at full weight; 0 where there is no item
    rows: tf.Tensor  # int32 [B, n], -1 where there is no item
    of_words: tf.Tensor  # bool [n], whether a place is of the words' list


class Fusion(NamedTuple):
    """How lists are fused; a channel whose weights are all 0 need not be asked."""

    by: By
    weights: tuple[tuple[float, float], ...]  # of each kind of query: the vectors', the words'

    def of(self, kinds: tf.Tensor) -> tf.Tensor:
        """The weights float64 `[B, 2]` of requests whose kinds int32 `[B]` are known."""
        return tf.gather(tf.constant(self.weights, tf.float64), kinds)

    @property
    def asks_vectors(self) -> bool:
        """Whether the vectors say anything about any query."""
        return any(vector > 0 for vector, _ in self.weights)

    @property
    def asks_words(self) -> bool:
        """The same of the words."""
        return any(words > 0 for _, words in self.weights)


def depth_of(k: tf.Tensor) -> tf.Tensor:
    """How many of each list are fused where `k` items are asked for: so the first ten hang on no `k` up to 100."""
    return tf.maximum(k, LEAST_DEPTH)


def fuse(
    by: By, vector: Candidates, words: Candidates, weights: tf.Tensor, k: tf.Tensor, width: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The `k` best of both lists together.

    Of equal scores those come first that the vectors found, by their rank there, then the words', by theirs.

    Args:
      by: "ranks": w / (60 + rank), of both lists summed. "scores": w (s - last) / (first - last), likewise; `last` is
        the list's last score, of the words 0 where fewer items match than the list has room for.
      vector: what the vectors found `[B, n]`; what lies behind the depth of a request is not looked at.
      words: what the words found `[B, m]`.
      weights: float64 `[B, 2]`; a channel of weight 0 finds nothing.
      k: int32 `[B]`.
      width: int32 scalar, at least every k.

    Returns:
      scores float32, rows int32 and channels int32 `[B, width]`; -inf, -1 and 0 behind the k-th or the last.
    """
    entries = side_by_side(by, vector, words, weights > 0, k)
    weighted = entries.gains * tf.where(entries.of_words, weights[:, 1:], weights[:, :1])
    found_by = tf.where(entries.of_words, tf.constant(WORDS, tf.float64), VECTOR)
    sums, rows = merged(tf.stack([weighted, tf.broadcast_to(found_by, tf.shape(weighted))], axis=2), entries.rows)
    totals = tf.where(rows >= 0, sums[..., 0], tf.constant(_NOTHING, tf.float64))
    asked = tf.minimum(width, tf.shape(rows)[1])
    scores, places = tf.math.top_k(totals, asked)  # of equal ones the earlier place
    kept = (tf.range(asked) < k[:, None]) & (scores > _NOTHING)
    channels = tf.cast(tf.gather(sums[..., 1], places, batch_dims=1), tf.int32)
    missing = [[0, 0], [0, width - asked]]
    return (
        tf.pad(tf.where(kept, tf.cast(scores, tf.float32), _NOTHING), missing, constant_values=_NOTHING),
        tf.pad(tf.where(kept, tf.gather(rows, places, batch_dims=1), -1), missing, constant_values=-1),
        tf.pad(tf.where(kept, channels, NEITHER), missing, constant_values=NEITHER),
    )


def fuse_lists(fusion: Fusion, kinds: np.ndarray, vector: Found, words: Found, k: int) -> Found:
    """The same outside of a graph, of requests whose kinds int `[n]` are known: the `k` best."""
    found = [Found(np.zeros((0, k), np.float32), np.zeros((0, k), np.int32))]
    for begin in range(0, len(kinds), _TOGETHER):
        part = slice(begin, begin + _TOGETHER)
        own, other = ((tf.constant(one.scores[part]), tf.constant(one.rows[part])) for one in (vector, words))
        weights = fusion.of(tf.constant(kinds[part]))
        scores, rows, _ = fuse(fusion.by, own, other, weights, tf.fill(tf.shape(weights)[:1], k), tf.constant(k))
        found.append(Found(scores.numpy(), rows.numpy()))
    return Found(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def side_by_side(by: By, vector: Candidates, words: Candidates, asked: tf.Tensor, k: tf.Tensor) -> Entries:
    """Two lists as of `fuse`, of requests that ask the vectors, the words or both, bool `[B, 2]`."""
    depth = depth_of(k)[:, None]
    (vector_scores, vector_rows), (words_scores, words_rows) = vector, words
    first, count = tf.shape(vector_rows)[1], tf.shape(words_rows)[1]
    places = tf.concat([tf.range(first), tf.range(count)], axis=0)
    of_words = tf.range(first + count) >= first
    rows = tf.concat([vector_rows, words_rows], axis=1)
    there = (rows >= 0) & (places < depth) & tf.where(of_words, asked[:, 1:], asked[:, :1])
    if by == "ranks":
        gains = 1 / (CONSTANT + 1 + tf.cast(places, tf.float64))
    else:
        parts = ((vector_scores, there[:, :first], False), (words_scores, there[:, first:], True))
        gains = tf.concat([_scaled(tf.cast(scores, tf.float64), one, depth, zero) for scores, one, zero in parts], 1)
    return Entries(tf.where(there, gains, tf.constant(0, tf.float64)), tf.where(there, rows, -1), of_words)


def _scaled(scores: tf.Tensor, there: tf.Tensor, depth: tf.Tensor, from_zero: bool) -> tf.Tensor:
    """Scores `[B, n]` on their list's own scale, from 1 of the first to 0 of the last; all 1 where they are equal.

    Of a list that is not full it is known, if so, that all others score 0.
    """
    last = tf.reduce_min(tf.where(there, scores, tf.constant(-_NOTHING, tf.float64)), axis=1, keepdims=True)
    if from_zero:
        full = tf.math.count_nonzero(there, axis=1, keepdims=True, dtype=tf.int32) >= depth
        last = tf.where(full, last, tf.constant(0, tf.float64))
    span = tf.reduce_max(scores, axis=1, keepdims=True) - last
    return tf.where(span > 0, (scores - last) / span, tf.constant(1, tf.float64))


def merged(values: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Each row of a request once, where it stands first, with the sums of its values.

    Args:
      values: float64 `[B, n, c]`.
      rows: int32 `[B, n]`, -1 for none.

    Returns:
      The sums, and the rows with -1 where one stood before.
    """
    shape = tf.shape(values)
    of_request = tf.range(tf.cast(shape[0], tf.int64))[:, None] * _ROWS
    distinct, items = tf.unique(tf.reshape(of_request + tf.cast(rows, tf.int64), [-1]))
    places, count = tf.range(tf.size(items)), tf.size(distinct)
    first = places == tf.gather(tf.math.unsorted_segment_min(places, items, count), items)
    sums = tf.math.unsorted_segment_sum(tf.reshape(values, [-1, values.shape[2]]), items, count)
    once = tf.where(tf.reshape(first, shape[:2]), rows, -1)
    return tf.reshape(tf.gather(sums, items), shape), once
