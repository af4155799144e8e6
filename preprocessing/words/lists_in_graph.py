"""Inverted lists as variables: from hashes to terms, from terms to rows, and from rows back to terms."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from preprocessing.words.word_lists import BEST, NO_TERM, WordLists, are_described


class Span(NamedTuple):
    """Pieces `[begin, end)` of `ListsInGraph.rows`, int64 of any one shape; one that is empty has no rows."""

    begins: tf.Tensor
    ends: tf.Tensor

    @property
    def lengths(self) -> tf.Tensor:
        """How many rows each has."""
        return self.ends - self.begins


class Flat(NamedTuple):
    """The places of several pieces, one behind the other."""

    places: tf.Tensor  # int32 [n]
    owners: tf.Tensor  # int32 [n], the number of each place's piece


class ListsInGraph(tf.Module):
    """`WordLists` as variables, each read whole: to gather from one would copy it once."""

    terms: tf.Variable
    offsets: tf.Variable
    rows: tf.Variable
    impacts: tf.Variable
    weights: tf.Variable
    read_begins: tf.Variable
    read_lengths: tf.Variable
    filters: tf.Variable
    filter_begins: tf.Variable
    filter_masks: tf.Variable
    item_terms: tf.Variable
    item_impacts: tf.Variable
    item_offsets: tf.Variable
    item_once: tf.Variable
    means: tf.Variable
    boosts: tf.Variable

    def __init__(self, lists: WordLists, name: str = "word_lists") -> None:
        super().__init__(name=name)
        self.items, self.has_descriptions = lists.items, bool(are_described(lists.terms).any())
        self.first = int(lists.offsets[0])  # where the lists begin, behind the best of long ones
        for part, value in lists._asdict().items():
            setattr(self, part, tf.Variable(value, trainable=False, dtype=value.dtype, name=part))

    def numbers(self, terms: tf.Tensor) -> tf.Tensor:
        """int32 numbers of terms by their hashes int64 `[B, n]`; NO_TERM for those that no item has."""
        known = self.terms.read_value()
        places = tf.reshape(lower_bounds(known, tf.reshape(terms, [-1])), tf.shape(terms))
        return tf.where(tf.gather(known, places) == terms, places, NO_TERM)

    def spans(self, numbers: tf.Tensor) -> Span:
        """Where the rows of terms are, by number."""
        offsets = self.offsets.read_value()
        begins, ends = tf.gather(offsets, tf.maximum(numbers, 0)), tf.gather(offsets, numbers + 1)
        return Span(tf.where(numbers >= 0, begins, ends), ends)

    def rows_at(self, places: tf.Tensor) -> tf.Tensor:
        """The rows at places in `rows`, of any shape."""
        return tf.gather(self.rows.read_value(), places)

    def hold(self, begin: tf.Tensor, end: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Which rows `[n]` stand in the list of one term, at `[begin, end)`: bool `[n]`."""
        lists = self.rows.read_value()
        places = begin + lower_bounds(lists[begin:end], rows, tf.int64)
        return (places < end) & (tf.gather(lists, tf.minimum(places, end - 1)) == rows)

    def pass_filters(self, rows: tf.Tensor, read_begins: tf.Tensor) -> tf.Tensor:
        """Which rows `[B, n]` may be in the lists of long terms: 0 or 1 `[L, B, n]`.

        Terms are given by where their best begin `[L, B]`.
        """
        numbers = read_begins[:, :, None] // BEST
        begins = tf.gather(self.filter_begins.read_value(), numbers)
        masks = tf.gather(self.filter_masks.read_value(), numbers)
        places = begins + tf.bitwise.right_shift(tf.bitwise.bitwise_and(rows, masks), 5)
        bits = tf.bitwise.right_shift(tf.gather(self.filters.read_value(), places), tf.bitwise.bitwise_and(rows, 31))
        return tf.cast(tf.bitwise.bitwise_and(bits, 1), tf.float32)


def lower_bounds(ordered: tf.Tensor, values: tf.Tensor, dtype: tf.DType = tf.int32) -> tf.Tensor:
    """How many of the ordered `[m]` are less than each of values `[n]`: `[n]`."""
    # `tf.searchsorted` is ten more ops of shapes.
    found = tf.raw_ops.LowerBound(
        sorted_inputs=tf.expand_dims(ordered, 0), values=tf.expand_dims(values, 0), out_type=dtype
    )
    return tf.squeeze(found, 0)


def flat(begins: tf.Tensor, lengths: tf.Tensor) -> Flat:
    """The places of pieces int32 `[m]`."""
    # A place and its piece are one number whose lower half counts: to count the pieces takes three times as long.
    owners = tf.bitwise.left_shift(tf.range(tf.size(begins, tf.int64)), 32)
    starts = owners + tf.cast(begins, tf.int64)
    ranges = tf.raw_ops.RaggedRange(
        starts=starts, limits=starts + tf.cast(lengths, tf.int64), deltas=tf.constant(1, tf.int64), Tsplits=tf.int64
    )
    return Flat(*tf.unstack(tf.bitcast(ranges.rt_dense_values, tf.int32), axis=1))
