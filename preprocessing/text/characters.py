"""The characters that texts are made of, and the strings that runs of them spell."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Characters(NamedTuple):
    """Those of all texts in one row: folded, and without what separates them."""

    codes: tf.Tensor  # int32 [n], code points
    places: tf.Tensor  # int64 [n], where each stands among the characters and separators of all texts
    splits: tf.Tensor  # int64 [batch + 1], where each text's characters begin; the last is n


class Strings(NamedTuple):
    """A ragged row of strings a text, as a condition can hand it on."""

    values: tf.Tensor  # string [m]
    splits: tf.Tensor  # int32 [batch + 1]


def joined(texts: tf.Tensor, mark: bytes) -> tf.Tensor:
    """One string of all texts `[batch]`, with a mark before, between and behind them."""
    return tf.strings.reduce_join(tf.concat([[""], texts, [""]], axis=0), separator=mark)


def visible(codes: tf.Tensor, kept: tf.Tensor, marks: tf.Tensor) -> Characters:
    """The characters int32 `[length]` at which `kept` is not 0; `marks` is true around each text."""
    at = tf.where(kept)
    return Characters(tf.gather_nd(codes, at), at[:, 0], _count_before(at, tf.where(marks)))


def first_texts(characters: Characters, texts: tf.Tensor) -> Characters:
    """The characters of the first texts."""
    splits = characters.splits[: texts + 1]
    return Characters(characters.codes[: splits[-1]], characters.places[: splits[-1]], splits)


def letters(codes: tf.Tensor) -> tf.Tensor:
    """The strings of characters int32 `[n]`."""
    alone = tf.range(tf.size(codes) + 1)
    return tf.raw_ops.UnicodeEncode(input_values=codes, input_splits=alone, output_encoding="UTF-8")


def grams(characters: Characters, letters: tf.Tensor, length: int) -> Strings:
    """Neighbours that nothing separates, from the strings `[n]` of the characters."""
    if length == 1:
        return Strings(letters, tf.cast(characters.splits, tf.int32))
    near = together = follows(characters)
    for step in range(1, length - 1):
        together = together[:-1] & near[step:]
    first = tf.where(together)
    spelled = [tf.gather_nd(letters, first + step if step else first) for step in range(length)]
    return Strings(tf.strings.join(spelled), tf.cast(_count_before(first, characters.splits), tf.int32))


def words(characters: Characters, starts: tf.Tensor, max_words: int) -> Strings:
    """The first words of each text, which begin where `starts` `[n]` is true."""
    first = tf.where(starts)
    ends = tf.concat([first[:, 0], characters.splits[-1:]], axis=0)
    spelled = tf.raw_ops.UnicodeEncode(input_values=characters.codes, input_splits=ends, output_encoding="UTF-8")
    splits = _count_before(first, characters.splits)
    begin, end = splits[:-1], splits[1:]
    kept = tf.raw_ops.RaggedRange(
        starts=begin, limits=tf.minimum(end, begin + max_words), deltas=tf.constant(1, tf.int64), Tsplits=tf.int32
    )
    return Strings(tf.gather(spelled, kept.rt_dense_values), kept.rt_nested_splits)


def follows(characters: Characters) -> tf.Tensor:
    """Whether each character but the first, bool `[n - 1]`, stands right behind the one before."""
    return characters.places[1:] == characters.places[:-1] + 1


def _count_before(ascending: tf.Tensor, bounds: tf.Tensor) -> tf.Tensor:
    """How many of the ascending int64 values, any shape, are below each of the bounds, any shape: int64 `[bounds]`."""
    row = [1, -1]
    below = tf.raw_ops.LowerBound(
        sorted_inputs=tf.reshape(ascending, row), values=tf.reshape(bounds, row), out_type=tf.int64
    )
    return below[0]
