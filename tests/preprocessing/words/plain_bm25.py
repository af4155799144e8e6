"""BM25 as its formula says, item by item."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.words.item_words import ItemWords, word_hashes
from preprocessing.words.word_lists import K1, B


class Item(NamedTuple):
    """What is read of one."""

    title: str
    brand: str = ""
    description: str = ""


def words_of(items: Sequence[Item]) -> ItemWords:
    """As a catalogue's are read."""
    found = [(word, field) for item in items for field, text in enumerate(item) for word in text.split()]
    hashes = word_hashes(tf.constant([word for word, _ in found], tf.string)).numpy()
    ends = np.cumsum([0, *(sum(len(text.split()) for text in item) for item in items)]).astype(np.int64)
    return ItemWords(hashes, np.array([field for _, field in found], np.uint8), ends)


class PlainBm25:
    """BM25F over items whose words white space separates: title with brand, and the description."""

    def __init__(self, items: Sequence[Item], boosts: Mapping[str, float]) -> None:
        named = [_counted(item, boosts) for item in items]
        described = [
            {word: boosts["description"] * item.description.split().count(word) for word in item.description.split()}
            for item in items
        ]
        self._fields = [named, described] if boosts["description"] else [named]

    def score(self, query: str, row: int) -> float:
        """Of one item."""
        return sum(self._part(word, row) for word in query.split())

    def scores(self, query: str) -> np.ndarray:
        """Of all items."""
        return np.array([self.score(query, row) for row in range(len(self._fields[0]))])

    def _part(self, word: str, row: int) -> float:
        often = 0.0
        for times in self._fields:
            mean = sum(sum(one.values()) for one in times) / len(times)
            if times[row].get(word, 0):
                often += times[row][word] / (1 - B + B * sum(times[row].values()) / mean)
        count = len(self._fields[0])
        having = sum(any(word in times[one] for times in self._fields) for one in range(count))
        rarity = math.log(1 + (count - having + 0.5) / (having + 0.5))
        return rarity * often * (K1 + 1) / (often + K1) if often else 0.0


def _counted(item: Item, boosts: Mapping[str, float]) -> dict[str, float]:
    """The words of a title and its brand; what the title says is not counted again."""
    title = item.title.split()
    found = {word: boosts["title"] * title.count(word) for word in title}
    for word in item.brand.split():
        if word not in title:
            found[word] = boosts["brand"] * item.brand.split().count(word)
    return found


def ragged(queries: Sequence[str]) -> tf.RaggedTensor:
    """The words of queries."""
    words = [query.split() for query in queries]
    flat = tf.constant([word for one in words for word in one], tf.string)
    return tf.RaggedTensor.from_row_lengths(flat, np.array([len(one) for one in words], np.int64))
