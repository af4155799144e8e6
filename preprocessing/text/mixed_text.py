"""The characters of texts of which some are in ASCII: only the others go the long way."""

from __future__ import annotations

import functools

import tensorflow as tf

from preprocessing.text.ascii_text import are_ascii, ascii_characters
from preprocessing.text.branches import lazy_cond
from preprocessing.text.characters import Characters
from preprocessing.text.unicode_text import unicode_characters


def mixed_characters(texts: tf.Tensor, max_chars: int) -> tuple[Characters, tf.Tensor]:
    """The characters of texts `[batch]`, any bytes, and whether each begins a word `[n]`."""
    return _characters(max_chars)(texts)


@functools.cache
def _characters(max_chars: int) -> tf.types.experimental.ConcreteFunction:
    """One function for every call of a graph, and never inlined: the tables in it stand in a saved model once."""

    def characters(texts: tf.Tensor) -> tuple[Characters, tf.Tensor]:
        heads = tf.strings.substr(texts, 0, max_chars)
        plain = are_ascii(heads)
        found, starts = unicode_characters(tf.gather_nd(texts, tf.where(~plain)), max_chars)
        before = tf.cumsum(tf.cast(~plain, tf.int32))  # a text in ASCII has no characters among these
        splits = tf.concat([[0], tf.gather(found.splits, before)], axis=0)
        others = found._replace(splits=splits)
        return lazy_cond(
            tf.reduce_any(plain & (heads != "")),
            lambda: _in_order(ascii_characters(tf.where(plain, heads, "")), (others, starts)),
            lambda: (others, starts),
        )

    with tf.init_scope():
        shared = tf.function(characters, autograph=False, experimental_attributes={"_noinline": True})
        return shared.get_concrete_function(tf.TensorSpec([None], tf.string, name="texts"))


def _in_order(*parts: tuple[Characters, tf.Tensor]) -> tuple[Characters, tf.Tensor]:
    """Two parts as one: each text's characters, which are all in one of them, where the text stands."""
    (first, first_starts), (second, second_starts) = parts
    begin = tf.reshape(tf.stack([first.splits[:-1], second.splits[:-1] + first.splits[-1]], axis=1), [-1])
    end = tf.reshape(tf.stack([first.splits[1:], second.splits[1:] + first.splits[-1]], axis=1), [-1])
    order = tf.raw_ops.RaggedRange(starts=begin, limits=end, deltas=tf.constant(1, tf.int64), Tsplits=tf.int64)
    # Behind all places of the first part: no character follows one of the other part.
    apart = second.places + tf.reduce_max(first.places) + 2
    codes, places, starts = (
        tf.gather(tf.concat(both, axis=0), order.rt_dense_values)
        for both in (
            (first.codes, second.codes),
            (first.places, apart),
            (first_starts[: first.splits[-1]], second_starts),
        )
    )
    return Characters(codes, places, first.splits + second.splits), starts
