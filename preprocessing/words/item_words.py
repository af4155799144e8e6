"""The words of a catalogue's items, field by field, as hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.text import analyser

WORD_HASHES = 2**62 - 1  # so many that no two words of a catalogue meet
FIELDS = ("title", "brand", "description")  # a word's field is its place here
TITLE, BRAND, DESCRIPTION = range(len(FIELDS))
_CHARS, _WORDS = 1024, 64  # read of a text: a long title says much at its end, too
_TOGETHER = 16_384  # texts analysed at once


class ItemWords(NamedTuple):
    """Of N items, one behind the other: an item's title, then its brand, then its description."""

    words: np.ndarray  # int64 [W], hashes
    fields: np.ndarray  # uint8 [W]
    ends: np.ndarray  # int64 [N + 1], where each item's words begin; the last is W
    spellings: frozenset[bytes] = frozenset()  # the words themselves, where they are kept

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64 [N], how many words each item has."""
        return np.diff(self.ends)

    def part(self, rows: np.ndarray) -> ItemWords:
        """Those of some items, int64 `[n]` in rising order."""
        lengths = self.lengths[rows]
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(self.ends[rows] - ends[:-1], lengths) + np.arange(ends[-1])
        return ItemWords(self.words[places], self.fields[places], ends, self.spellings)

    @classmethod
    def joined(cls, parts: Sequence[ItemWords]) -> ItemWords:
        """One part behind the other."""
        words = np.concatenate([np.zeros(0, np.int64), *(one.words for one in parts)])
        fields = np.concatenate([np.zeros(0, np.uint8), *(one.fields for one in parts)])
        lengths = np.concatenate([np.zeros(0, np.int64), *(one.lengths for one in parts)])
        spellings = frozenset().union(*(one.spellings for one in parts))
        return cls(words, fields, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), spellings)


class WordReader:
    """Reads items' texts batch by batch, by the analyser."""

    def __init__(self) -> None:
        self._read = tf.function(self._found, reduce_retracing=True, autograph=False)

    def __call__(self, texts: Mapping[str, tf.Tensor]) -> ItemWords:
        """Strings `[B]` by field."""
        words, fields, lengths = self._read({name: texts[name] for name in FIELDS if name in texts})
        ends = np.concatenate([[0], np.cumsum(lengths.numpy())]).astype(np.int64)
        spellings = frozenset(words.numpy().tolist())
        return ItemWords(word_hashes(words).numpy(), fields.numpy(), ends, spellings)

    def _found(self, texts: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        found = {name: analyser.analyse(one, ["word"], _CHARS, _WORDS)["word"] for name, one in texts.items()}
        fields = [one.with_values(tf.fill(tf.shape(one.values), FIELDS.index(name))) for name, one in found.items()]
        words = tf.concat(list(found.values()), axis=1)
        return words.values, tf.cast(tf.concat(fields, axis=1).values, tf.uint8), words.row_lengths()


def read_words(texts: Mapping[str, Sequence[bytes]]) -> ItemWords:
    """The words of N items, whose texts are given by field."""
    read, count = WordReader(), len(next(iter(texts.values())))
    blocks = (slice(begin, begin + _TOGETHER) for begin in range(0, count, _TOGETHER))
    return ItemWords.joined(
        [read({name: tf.constant(list(one[block]), tf.string) for name, one in texts.items()}) for block in blocks]
    )


def word_hashes(words: tf.Tensor) -> tf.Tensor:
    """int64 of strings, the same in the table and in the graph."""
    return tf.strings.to_hash_bucket_fast(words, WORD_HASHES)
