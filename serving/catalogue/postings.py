"""The inverted lists of a catalogue: which items have a word, lie in a leaf, are of a brand, cost so much.

A term is a word, a leaf or a brand, by its hash; each kind has a quarter of int64 for itself, words the lowest. So all
terms are one rising array, and what words alone have (impacts) lies at the front.

What it takes, in bytes: a word's posting 4 for its row and 1 for its impact, and 2 at most for a term's best; a leaf's
or a brand's 4 for its row and 4 from the item back to the term; a price 4 for its row and 8 for the price, in order
and by item; a term 16 for its hash and its place, and 4 more for a word's weight.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from serving.catalogue.table import WORD_HASHES, Table, word_hashes

K1, B = 1.2, 0.75  # BM25's own: how soon a repeated word adds nothing, how much a long title holds it back
BEST = 4_096  # postings of a long term that are at hand by impact
LONG = 2 * BEST  # a term with more has a list of its best: at most half as long as what it spares
NO_TERM = -1  # as hash and as number; the quarter of int64 that it lies in is nobody's
_LAST_TERM = 2**63 - 1  # behind all others, of no item: so every search among terms ends at one
Hashes = TypeVar("Hashes", np.ndarray, tf.Tensor)  # int64
_FIRST = {"word": -2 * WORD_HASHES, "leaf": 0, "brand": WORD_HASHES}  # the least hash of each kind


class Postings(NamedTuple):
    """Of N items: T terms of which the first W are words, P postings of which the first PW are words', L long terms."""

    terms: np.ndarray  # int64 [T + 1], rising, the last of no item
    offsets: np.ndarray  # int64 [T + 2], where each term's postings begin; the last is P
    rows: np.ndarray  # int32 [P + priced], rising within a term; behind P the priced items, the cheapest first
    impacts: np.ndarray  # uint8 [PW], what BM25 makes of a word in its item: weight times impact
    weights: np.ndarray  # float32 [W]
    long_terms: np.ndarray  # int32 [L], rising numbers of terms
    best: np.ndarray  # int32 [L, BEST], the places in `rows` of their postings of most impact, rising
    leaf_of: np.ndarray  # int32 [N], the number of the item's term, NO_TERM for none
    brand_of: np.ndarray  # int32 [N]
    prices: np.ndarray  # float32 [N], NaN for none
    sorted_prices: np.ndarray  # float32 [priced], rising

    @property
    def bytes(self) -> int:
        """All of it."""
        return sum(one.nbytes for one in self)


def terms_of(kind: str, hashes: Hashes) -> Hashes:
    """The terms of words, leaves or brands by their `word_hashes`."""
    return hashes + _FIRST[kind]


def build_postings(table: Table) -> Postings:
    """The inverted lists of a table's items."""
    words, impacts, weights = _words(table)
    named = {kind: _named(table, kind) for kind in ("leaf", "brand")}
    lists = [words, *(lists for lists, _ in named.values())]
    terms = np.concatenate([*(one.terms for one in lists), [_LAST_TERM]])
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([*(one.lengths for one in lists), [0]]))]).astype(np.int64)
    priced = np.flatnonzero(~np.isnan(table.prices)).astype(np.int32)
    by_price = priced[np.argsort(table.prices[priced], kind="stable")]
    long_terms, best = _best(impacts, offsets[: len(weights) + 1])
    firsts = dict(zip(named, np.cumsum([len(words.terms), len(named["leaf"][0].terms)]), strict=True))
    of_items = {
        kind: np.where(numbers >= 0, numbers + firsts[kind], NO_TERM).astype(np.int32)
        for kind, (_, numbers) in named.items()
    }
    return Postings(
        terms,
        offsets,
        np.concatenate([*(one.rows for one in lists), by_price]),
        impacts,
        weights,
        long_terms,
        best,
        of_items["leaf"],
        of_items["brand"],
        table.prices,
        table.prices[by_price],
    )


def fresh_terms(table: Table) -> dict[str, np.ndarray]:
    """Of F fresh items, one by one: `words` int64 `[F, words]`, `leaves` and `brands` `[F]`, `prices` float32 `[F]`."""
    lengths = np.diff(table.ends)
    words = np.full((len(table), max(lengths, default=0)), NO_TERM, np.int64)
    words[np.arange(words.shape[1]) < lengths[:, None]] = terms_of("word", table.words)
    named = {}
    for kind, of_items in {"leaf": "leaves", "brand": "brands"}.items():
        names = table.names[kind]
        terms = np.where(names != b"", terms_of(kind, _hashes(names)), NO_TERM)
        named[of_items] = terms[table.numbers[kind]] if len(names) else np.zeros(0, np.int64)
    return {"words": words, **named, "prices": table.prices}


class _Lists(NamedTuple):
    """The terms of one kind."""

    terms: np.ndarray  # int64 [T], rising
    lengths: np.ndarray  # int64 [T]
    rows: np.ndarray  # int32 [P]


def _words(table: Table) -> tuple[_Lists, np.ndarray, np.ndarray]:
    """Of words: the lists, the impacts `[P]`, the weights `[T]`."""
    lengths = np.diff(table.ends)
    order = np.argsort(table.words, kind="stable")  # by word, within it by item
    hashes, rows = table.words[order], np.repeat(np.arange(len(table), dtype=np.int32), lengths)[order]
    new_word = _changes(hashes)
    begins = np.flatnonzero(new_word | _changes(rows))  # a word that an item has twice is one posting
    repeated, rows = np.diff(begins, append=len(hashes)), rows[begins]
    firsts = np.flatnonzero(new_word[begins])
    lists = _Lists(terms_of("word", hashes[begins[firsts]]), np.diff(firsts, append=len(rows)), rows)
    impacts = np.rint(_saturation(repeated, lengths, rows) * 255).astype(np.uint8)
    rarity = np.log1p((len(table) - lists.lengths + 0.5) / (lists.lengths + 0.5))
    return lists, impacts, (rarity * (K1 + 1) / 255).astype(np.float32)


def _saturation(repeated: np.ndarray, lengths: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """BM25's share of a word's weight, in (0, 1): by how often an item has it, and how many words the item has."""
    mean = lengths.sum() / max(len(lengths), 1)
    held_back = (K1 * (1 - B + B * lengths / (mean or 1))).astype(np.float32)
    often = repeated.astype(np.float32)
    return often / (often + held_back[rows])


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


def _best(impacts: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The long terms `[L]`, and the places of their best postings `[L, BEST]`; of equal ones the earlier."""
    long_terms = np.flatnonzero(np.diff(offsets) > LONG).astype(np.int32)
    best = np.zeros((len(long_terms), BEST), np.int32)
    for place, term in enumerate(long_terms):
        begin, end = offsets[term], offsets[term + 1]
        chosen = np.argsort(255 - impacts[begin:end], kind="stable")[:BEST]
        best[place] = np.sort(chosen) + begin
    return long_terms, best


def _changes(values: np.ndarray) -> np.ndarray:
    """Where another value begins than stands before, bool `[n]`."""
    return np.concatenate([[True], values[1:] != values[:-1]]) if len(values) else np.zeros(0, bool)
