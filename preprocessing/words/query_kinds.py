"""Kinds of queries that channels may be weighed by, told apart by a query's words alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

from preprocessing.text import analyser

Way = Literal["word_count", "new_words", "clicked"]
_LONGEST = 3  # words; queries of more are of one kind with it
_HASHES = 2**62
MOST_TRAINING = 1_000_000  # requests of training whose queries are known
_TOGETHER = 16_384  # texts analysed at once


class QueryKinds(tf.Module):
    """One way to tell queries apart.

    Args:
      way: "word_count": one word, two, or more. "new_words": whether training knew all of the words (0) or not (1).
        "clicked": whether the query led to a click in training (1) or not (0).
      known: int64, rising: the hashes of the words or the queries that training knew; of no use to "word_count".
    """

    def __init__(self, way: Way, known: np.ndarray) -> None:
        super().__init__(name="query_kinds")
        self.way = way
        behind = np.append(known, _HASHES).astype(np.int64)  # so that every search ends at one
        self._known = tf.Variable(behind, trainable=False, dtype=tf.int64, name="known")

    @property
    def known(self) -> np.ndarray:
        """What it was made by."""
        return self._known.numpy()[:-1]

    def __call__(self, words: tf.RaggedTensor) -> tf.Tensor:
        """The kinds int32 `[B]` of queries' words, strings `[B, (w)]`."""
        if self.way == "word_count":
            lengths = tf.cast(words.row_lengths(), tf.int32)
            return tf.clip_by_value(lengths, 1, _LONGEST) - 1
        if self.way == "clicked":
            return tf.cast(self._has(_query_hashes(words)), tf.int32)
        new = words.with_values(tf.cast(~self._has(_word_hashes(words.values)), tf.int32))
        return tf.cast(tf.reduce_sum(new, axis=1) > 0, tf.int32)

    def of_texts(self, queries: Sequence[bytes], max_chars: int, max_words: int) -> np.ndarray:
        """The kinds int32 `[n]` of queries as they are asked."""
        found = [self(words).numpy() for words in _words(queries, max_chars, max_words)]
        return np.concatenate([np.zeros(0, np.int32), *found])

    def _has(self, hashes: tf.Tensor) -> tf.Tensor:
        known = self._known.read_value()
        return tf.gather(known, tf.searchsorted(known, hashes)) == hashes


def ways_to_tell(
    words: Sequence[bytes], clicked: Collection[bytes], max_chars: int, max_words: int
) -> dict[Way, QueryKinds]:
    """All ways, the plainest first, by the words and the queries of training, where each query led to a click."""
    hashes = [_query_hashes(one).numpy() for one in _words(list(clicked), max_chars, max_words)]
    known: dict[Way, np.ndarray] = {
        "word_count": np.zeros(0, np.int64),
        "new_words": _word_hashes(tf.constant(list(words), tf.string)).numpy(),
        "clicked": np.concatenate([np.zeros(0, np.int64), *hashes]),
    }
    return {way: QueryKinds(way, np.unique(one)) for way, one in known.items()}


def _words(queries: Sequence[bytes], max_chars: int, max_words: int) -> Iterator[tf.RaggedTensor]:
    for begin in range(0, len(queries), _TOGETHER):
        texts = tf.constant(list(queries[begin : begin + _TOGETHER]), tf.string)
        yield analyser.analyse(texts, ["word"], max_chars, max_words)["word"]


def _word_hashes(words: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_hash_bucket_fast(words, _HASHES)


def _query_hashes(words: tf.RaggedTensor) -> tf.Tensor:
    return _word_hashes(tf.strings.reduce_join(words, axis=1, separator=" "))
