"""The catalogue on its way into the index: ids, attributes and words in arrays, vectors in a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.text import analyser
from serving.catalogue.data_records import Strings
from serving.inputs import ITEM_PRICE

WORD_HASHES = 2**62  # so many that no two words of a catalogue meet
NAMED = {"brand": "brand", "shop": "shop", "leaf": "category_leaf", "top": "category_top"}


class Table(NamedTuple):
    """What is known of N items besides their vectors."""

    ids: np.ndarray  # object [N], bytes
    names: dict[str, np.ndarray]  # brand, shop, leaf, top -> the distinct names, object [V]
    numbers: dict[str, np.ndarray]  # ... -> the place of each item's name in it, int32 [N]
    words: np.ndarray  # int64 [W], hashes of the words of titles and brands, item after item
    ends: np.ndarray  # int64 [N + 1], where each item's words begin; the last is W
    prices: np.ndarray  # float32 [N], NaN for none

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, rows: np.ndarray) -> Table:
        """The table of some items, int64 `[n]` in rising order."""
        lengths = np.diff(self.ends)[rows]
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(self.ends[rows] - ends[:-1], lengths) + np.arange(ends[-1])
        numbers = {name: one[rows] for name, one in self.numbers.items()}
        return Table(self.ids[rows], self.names, numbers, self.words[places], ends, self.prices[rows])


class TableBuilder:
    """Collects a catalogue batch by batch."""

    def __init__(self, max_chars: int, max_words: int) -> None:
        self._limits = (max_chars, max_words)
        self._ids: list[np.ndarray] = []
        self._known: dict[str, dict[bytes, int]] = {name: {} for name in NAMED}
        self._numbers: dict[str, list[np.ndarray]] = {name: [] for name in NAMED}
        self._words: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._prices: list[np.ndarray] = []
        self._hash = tf.function(self._hashed_words, reduce_retracing=True, autograph=False)

    def add(self, items: Strings) -> None:
        """Items `[B]` as `catalog_batches` has them."""
        self._ids.append(items["item_id"].numpy())
        for name, column in NAMED.items():
            known = self._known[name]
            numbers = [known.setdefault(value, len(known)) for value in items[column].numpy().tolist()]
            self._numbers[name].append(np.array(numbers, np.int32))
        words, lengths = self._hash(items["title"], items["brand"])
        self._words.append(words.numpy())
        self._lengths.append(lengths.numpy())
        self._prices.append(items[ITEM_PRICE].numpy())

    def _hashed_words(self, titles: tf.Tensor, brands: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = [analyser.analyse(one, ["word"], *self._limits)["word"] for one in (titles, brands)]
        words = tf.concat(found, axis=1)
        return word_hashes(words.values), words.row_lengths()

    def table(self, source: str) -> Table:
        """The whole table; `source` is named where an id is there twice."""
        ids = _joined(self._ids, object)
        _check_unique(ids, source)
        names = {name: np.array(list(known), object) for name, known in self._known.items()}
        numbers = {name: _joined(parts, np.int32) for name, parts in self._numbers.items()}
        ends = np.concatenate([[0], np.cumsum(_joined(self._lengths, np.int64))]).astype(np.int64)
        return Table(ids, names, numbers, _joined(self._words, np.int64), ends, _joined(self._prices, np.float32))


def word_hashes(words: tf.Tensor) -> tf.Tensor:
    """int64 of strings, the same in the table and in the graph."""
    return tf.strings.to_hash_bucket_fast(words, WORD_HASHES)


def _joined(parts: Iterable[np.ndarray], dtype: type) -> np.ndarray:
    parts = list(parts)
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _check_unique(ids: np.ndarray, source: str) -> None:
    seen: set[bytes] = set()
    for one in ids.tolist():
        if one in seen:
            raise UserError(f"{source}: item_id {one.decode(errors='replace')!r} is there twice; an id names one item")
        seen.add(one)
