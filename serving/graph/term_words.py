"""The words of required terms as a condition has them: hashes, request by request."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.words.item_words import word_hashes


def hashed_terms(words: tf.RaggedTensor, terms: tf.Tensor) -> tf.Tensor:
    """Words `[B * N, (words)]` of terms `[B, N]`, term after term -> int64 `[B, words]`, -1 behind."""
    batch, width = tf.unstack(tf.shape(terms, tf.int64))
    requests = tf.cast(words.value_rowids(), tf.int64) // width
    found = tf.RaggedTensor.from_value_rowids(word_hashes(words.values), requests, batch, validate=False)
    return found.to_tensor(-1)
