"""Queries made of items: neighbouring words of one of an item's texts, in core TensorFlow ops.

A catalogue's own requests are such queries, in the records of a shop without a log and on the fly in training.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

LONGEST = 3  # words of a query
MOMENTS = 1 << 30
# The title twice: what a shop's people search is nearer to it than to what was written to sell.
TEXTS = ("title", "title", "leaf_name", "description")
DRAWS = len(TEXTS) + 2  # one for each text, one for the length, one for the first word
_RESOLUTION = 1 << 24  # of a float32 below 1
_MARK = "\x1f"


def texts_of(items: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """`[n, texts]`: what may be asked for items by, given `brand_name` and TEXTS; the brand stands before a title."""
    titled = tf.strings.join([items["brand_name"], items["title"]], separator=" ")
    own = {**items, "title": tf.strings.strip(titled)}
    return tf.stack([own[name] for name in TEXTS], axis=1)


def asked(texts: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """One to three neighbouring words of one of each item's texts.

    Args:
      texts: `[n, t]`; one that is empty is not chosen.
      draws: `[n, t + 2]` in [0, 1): the largest of a row chooses the text, then come the length and the first word.

    Returns:
      `[n]`, empty where no text holds a word.
    """
    chosen = tf.argmax(tf.where(texts == "", -1.0, draws[:, :-2]), axis=1)
    words = split_words(tf.gather(texts, chosen, batch_dims=1))
    counts = words.row_lengths()
    lengths = tf.minimum(1 + _below(draws[:, -2], LONGEST * tf.ones_like(counts)), counts)
    begin = words.row_starts() + _below(draws[:, -1], counts - lengths + 1)
    places = tf.ragged.range(begin, begin + lengths)
    return tf.strings.strip(tf.strings.reduce_join(tf.gather(words.values, places), axis=1))


def _below(draws: tf.Tensor, bounds: tf.Tensor) -> tf.Tensor:
    """Draws in [0, 1) as whole numbers below bounds."""
    return tf.cast(draws * tf.cast(bounds, draws.dtype), bounds.dtype)


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """The words of texts `[n]`, each with the space behind it, so that neighbours joined are as they were written."""
    spaced = tf.strings.regex_replace(texts, r"[^\pL\pM\pN\p{So}]+", f" {_MARK}")
    alone = r"([\p{Han}\p{So}] ?)"  # each is a word, as the analyser has it
    cut = tf.strings.regex_replace(spaced, alone, rf"{_MARK}\1{_MARK}")
    words = tf.strings.split(cut, _MARK)
    return tf.ragged.boolean_mask(words, words.with_values(tf.strings.strip(words.values) != ""))


def draws_of(item_ids: tf.Tensor, seed: int) -> tf.Tensor:
    """Draws `[n, DRAWS]` in [0, 1) that a seed and an item's id decide."""
    columns = [tf.strings.join([f"{seed} {column} ", item_ids]) for column in range(DRAWS)]
    buckets = tf.strings.to_hash_bucket_fast(tf.stack(columns, axis=1), _RESOLUTION)
    return tf.cast(buckets, tf.float32) / _RESOLUTION


def moments_of(item_ids: tf.Tensor) -> tf.Tensor:
    """int64 `[n]` below MOMENTS: the time at which an item is said to be asked for, which is what splits divide by."""
    return tf.strings.to_hash_bucket_fast(item_ids, MOMENTS)
