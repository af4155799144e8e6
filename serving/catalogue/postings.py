"""The inverted lists of a catalogue: which items have a word, lie in a leaf, are of a brand, cost so much.

A term is a word, a leaf or a brand, by its hash; each kind has a quarter of int64 for itself, words the lowest. So all
terms are one rising array, and what words alone have lies at the front.

What it takes besides the lists of words, in bytes: a leaf's or a brand's posting 4 for its row and 4 from the item back
to the term; a price 4 for its row and 8 for the price, in order and by item; a term 16 for its hash and its place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.words.item_words import word_hashes
from preprocessing.words.word_lists import (
    NO_TERM,
    Statistics,
    WordLists,
    count_words,
    impacts_of,
    terms_of,
)
from serving.catalogue.table import Table


class Postings(NamedTuple):
    """Of N items."""

    lists: WordLists  # behind the words' in `terms`, `offsets` and `rows` those of leaves and brands; in `rows` then
    # the priced items, the cheapest first
    leaf_of: np.ndarray  # int32 [N], the number of the item's term, NO_TERM for none
    brand_of: np.ndarray  # int32 [N]
    prices: np.ndarray  # float32 [N], NaN for none
    sorted_prices: np.ndarray  # float32 [priced], rising

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.lists.bytes + sum(one.nbytes for one in self[1:])


def build_postings(table: Table, words: WordLists) -> Postings:
    """The inverted lists of a table's items, of whose words there are lists."""
    named = {kind: _named(table, kind) for kind in ("leaf", "brand")}
    lengths = np.concatenate([one.lengths for one, _ in named.values()])
    offsets = words.offsets[-1] + np.cumsum(np.append(lengths, 0))
    priced = np.flatnonzero(~np.isnan(table.prices)).astype(np.int32)
    by_price = priced[np.argsort(table.prices[priced], kind="stable")]
    first, of_items = len(words.terms) - 1, {}
    for kind, (of_kind, numbers) in named.items():
        of_items[kind] = np.where(numbers >= 0, numbers + first, NO_TERM).astype(np.int32)
        first += len(of_kind.terms)
    lists = words._replace(
        terms=np.concatenate([words.terms[:-1], *(one.terms for one, _ in named.values()), words.terms[-1:]]),
        offsets=np.concatenate([words.offsets[:-1], offsets]),
        rows=np.concatenate([words.rows, *(one.rows for one, _ in named.values()), by_price]),
    )
    return Postings(lists, of_items["leaf"], of_items["brand"], table.prices, table.prices[by_price])


def fresh_terms(table: Table, statistics: Statistics) -> dict[str, np.ndarray]:
    """Of F fresh items, one by one, as a catalogue with these statistics weighs their words.

    Returns:
      `words` int64 and `impacts` uint8 `[F, words]`, `leaves` and `brands` int64 `[F]`, `prices` float32 `[F]`.
    """
    counted = count_words(table.words, statistics.boosts)
    order = np.argsort(counted.rows, kind="stable")
    rows = counted.rows[order]
    places = np.arange(len(rows)) - np.searchsorted(rows, rows)
    shape = len(table), int(max(places, default=-1)) + 1
    words, impacts = np.full(shape, NO_TERM, np.int64), np.zeros(shape, np.uint8)
    words[rows, places] = counted.terms[order]
    impacts[rows, places] = impacts_of(counted, len(table), statistics.means)[order]
    named = {}
    for kind, of_items in {"leaf": "leaves", "brand": "brands"}.items():
        names = table.names[kind]
        terms = np.where(names != b"", terms_of(kind, _hashes(names)), NO_TERM)
        named[of_items] = terms[table.numbers[kind]] if len(names) else np.zeros(0, np.int64)
    return {"words": words, "impacts": impacts, **named, "prices": table.prices}


class _Lists(NamedTuple):
    """The terms of one kind."""

    terms: np.ndarray  # int64 [T], rising
    lengths: np.ndarray  # int64 [T]
    rows: np.ndarray  # int32 [P]


def _named(table: Table, kind: str) -> tuple[_Lists, np.ndarray]:
    """The lists of leaves or brands, and the place of each item's term among them `[N]`; the name "" is none."""
    names = table.names[kind]
    hashes, there = terms_of(kind, _hashes(names)), names != b""
    terms = np.unique(hashes[there])
    of_names = np.where(there, np.searchsorted(terms, hashes), -1)
    numbers = of_names[table.numbers[kind]] if len(names) else np.zeros(0, np.int64)
    rows = np.argsort(numbers, kind="stable").astype(np.int32)
    rows = rows[np.count_nonzero(numbers < 0) :]
    return _Lists(terms, np.bincount(numbers[rows], minlength=len(terms)), rows), numbers


def _hashes(names: np.ndarray) -> np.ndarray:
    return word_hashes(tf.constant(names.tolist(), tf.string)).numpy()
