"""The words of required terms as a condition has them: hashes, request by request."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from preprocessing.words.item_words import word_hashes


class Words(NamedTuple):
    """The words of some texts: those from row `first` on."""

    of_texts: tf.RaggedTensor  # strings [n, (words)]
    first: tf.Tensor


def hashed_terms(words: Words, terms: tf.Tensor) -> tf.Tensor:
    """Words of terms `[B, N]`, term after term -> int64 `[B, words]`, -1 behind."""
    places = tf.cast(words.of_texts.value_rowids(), tf.int64) - tf.cast(words.first, tf.int64)
    of_terms = places >= 0
    values = word_hashes(tf.boolean_mask(words.of_texts.values, of_terms))
    batch, width = tf.unstack(tf.shape(terms, tf.int64))
    requests = tf.boolean_mask(places, of_terms) // width
    return tf.RaggedTensor.from_value_rowids(values, requests, batch, validate=False).to_tensor(-1)
