"""From strings to ids: 0 is padding and the empty string, then hash buckets for the unknown, then the known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from preprocessing.text import analyser


class Vocabulary(NamedTuple):
    """The known strings, most frequent first, and how many hash buckets the others share."""

    words: Sequence[str]
    hash_buckets: int

    @property
    def size(self) -> int:
        """How many ids there are, padding included."""
        return 1 + self.hash_buckets + len(self.words)


class Lookup(tf.Module):
    """A vocabulary in the graph."""

    def __init__(self, vocabulary: Vocabulary, name: str) -> None:
        super().__init__(name=name)
        self._hash_buckets = vocabulary.hash_buckets
        # Where ids are made up front, hashing of the unknown can follow padding; TF's own tables put it last.
        first = 1 + vocabulary.hash_buckets
        words = list(vocabulary.words) or [""]  # a table cannot be empty, and "" never reaches it
        keys = tf.constant(words, tf.string)
        ids = tf.range(first, first + len(words), dtype=tf.int64)
        self._table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, ids), default_value=-1)

    def __call__(self, strings: tf.Tensor) -> tf.Tensor:
        """int64 ids of strings, any shape."""
        return tf.where(strings == "", tf.constant(0, tf.int64), self.of_words(strings))

    def of_words(self, words: tf.Tensor) -> tf.Tensor:
        """int64 ids of strings of which none is empty, any shape."""
        known = self._table.lookup(words)
        bucket = 1 + tf.strings.to_hash_bucket_fast(words, self._hash_buckets)
        return tf.where(known < 0, bucket, known)


class TextEncoder(tf.Module):
    """Texts to the ids of their grains, by the one analyser."""

    def __init__(self, vocabularies: Mapping[str, Vocabulary], max_chars: int, max_words: int) -> None:
        super().__init__(name="text_encoder")
        self._lookups = {grain: Lookup(vocabulary, grain) for grain, vocabulary in vocabularies.items()}
        self._max_chars = max_chars
        self._max_words = max_words

    def __call__(self, texts: tf.Tensor, plain: bool = False) -> dict[str, tf.RaggedTensor]:
        """int64 `[batch, (length)]` of each grain for string `[batch]`, which may be known to be `plain` ASCII."""
        grains = analyser.analyse(texts, tuple(self._lookups), self._max_chars, self._max_words, plain=plain)
        return {name: grain.with_values(self._lookups[name].of_words(grain.values)) for name, grain in grains.items()}
