"""The inverted lists of a catalogue's words with BM25's impacts, and from each item back to its words.

BM25F: how often title and brand have a word, and how often the description, each beside how long such texts are, make
one number, and that makes the impact; so an item whose title *and* description say a word is more about it than one
with either. A word of each field is counted by its boost; what the title has is not counted again for the brand.

A term is a word of titles and brands, or a word that an item has in its description alone, which is another term: what
an item must have is asked of title and brand.

What it takes, in bytes: a posting 5 in its list and 5 at its item; an item 5; a term 28, a long one 5 more for each of
its BEST and a filter, which has a bit for each item or 8 to 16 bytes for each posting, whatever is less.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from preprocessing.words.item_words import BRAND, DESCRIPTION, TITLE, ItemWords

K1, B = 1.5, 0.75  # BM25's own: how soon a repeated word adds nothing, how much a long title holds it back
STEPS = 255  # of an impact
BEST = 4_096  # postings of a long term that are read
LONG = 2 * BEST  # a term with more is long: at most half as many are read
NO_TERM = -1  # as hash and as number
LAST_TERM = 2**63 - 1  # behind all others, of no item: so every search among terms ends at one
_BITS_A_POSTING = 64  # of a filter: of the rows that are not in a list one of so many passes, at most
_FIRST = {"word": -(2**63), "described": -(2**62), "leaf": 0, "brand": 2**62}  # the least hash of each kind
Hashes = TypeVar("Hashes", np.ndarray, tf.Tensor)  # int64


class Statistics(NamedTuple):
    """How a catalogue weighs the words of an item."""

    means: np.ndarray  # float32 [2], how many words a title with its brand has, and a description, each by its boost
    boosts: np.ndarray  # float32 [fields]


class WordLists(NamedTuple):
    """Of N items: T terms, P postings, L long terms, whose BEST stand before the lists."""

    terms: np.ndarray  # int64 [T + 1], rising, the last of no item
    offsets: np.ndarray  # int64 [T + 2], where each term's list begins: the first at L * BEST, the last is the end
    rows: np.ndarray  # int32 [L * BEST + P], of a list rising; of a long term's BEST by impact
    impacts: np.ndarray  # uint8 [L * BEST + P], what BM25 makes of a word in its item: weight times impact
    weights: np.ndarray  # float32 [T + 1], what a word is worth for each of an impact's STEPS; the last: of no item's
    read_begins: np.ndarray  # int32 [T + 1], where what is read of a term begins; of a long one, its BEST
    read_lengths: np.ndarray  # int32 [T + 1], the last is 0
    filters: np.ndarray  # int32 [F], bits: which rows may be in a long term's list
    filter_begins: np.ndarray  # int32 [L], in `filters`
    filter_masks: np.ndarray  # int32 [L], of a row the part that is its bit's place
    item_terms: np.ndarray  # int32 [P], each item's numbers of terms
    item_impacts: np.ndarray  # uint8 [P]
    item_offsets: np.ndarray  # int32 [N + 1]
    item_once: np.ndarray  # uint8 [N], the impact of a word that the item's title or brand has once
    means: np.ndarray  # float32 [2], of Statistics
    boosts: np.ndarray  # float32 [fields]

    @property
    def bytes(self) -> int:
        """All of it."""
        return sum(one.nbytes for one in self)

    @property
    def items(self) -> int:
        """N."""
        return len(self.item_offsets) - 1


def terms_of(kind: str, hashes: Hashes) -> Hashes:
    """The terms of words, leaves or brands by their `word_hashes`."""
    return hashes + _FIRST[kind]


class Counted(NamedTuple):
    """How often items have words, by term and within it by row; P of them."""

    terms: np.ndarray  # int64 [P]
    rows: np.ndarray  # int32 [P]
    times: np.ndarray  # float32 [2, P], in title and brand, and in the description; each by its field's boost

    def lengths(self, items: int) -> np.ndarray:
        """float32 `[2, N]`, of titles with their brands, and of descriptions."""
        return np.stack([np.bincount(self.rows, times, minlength=items) for times in self.times]).astype(np.float32)

    def sums(self, items: int) -> np.ndarray:
        """float64 `[2]`, how many words all titles with their brands have, and all descriptions."""
        return self.lengths(items).sum(axis=1, dtype=np.float64)


class Terms(NamedTuple):
    """All terms of a catalogue, and how it weighs them: what the lists of any part of it are made by."""

    terms: np.ndarray  # int64 [T], rising
    weights: np.ndarray  # float32 [T], as in WordLists
    statistics: Statistics
    items: int  # of the whole catalogue


def build_word_lists(items: ItemWords, boosts: np.ndarray) -> WordLists:
    """The lists of N items; boosts float32 `[fields]`, 0 for one that is not read."""
    counted = count_words(items, boosts)
    return lists_of_part(counted, len(items), terms_in(counted, len(items), boosts))


def terms_in(counted: Counted, size: int, boosts: np.ndarray) -> Terms:
    """The terms of a whole catalogue of `size` items."""
    terms, having = np.unique(counted.terms, return_counts=True)
    return Terms(terms, weights_of(terms, having, size), statistics_of(counted.sums(size), size, boosts), size)


def lists_of_part(counted: Counted, size: int, whole: Terms) -> WordLists:
    """The lists of the counted words of some items, as the whole catalogue weighs them; its terms are all there."""
    lengths = np.bincount(np.searchsorted(whole.terms, counted.terms), minlength=len(whole.terms))
    impacts = impacts_of(counted, size, whole.statistics.means)
    once = np.rint(STEPS / (1 + K1 * _held_back(counted, size, whole.statistics.means)[0])).astype(np.uint8)
    weights = np.append(whole.weights, rarity(0, whole.items)).astype(np.float32)
    return _assembled(
        np.append(whole.terms, LAST_TERM), weights, lengths, counted.rows, impacts, once, whole.statistics
    )


def statistics_of(sums: np.ndarray, items: int, boosts: np.ndarray) -> Statistics:
    """By the sums float64 `[2]` of `Counted.sums` over all items."""
    return Statistics((sums / max(items, 1)).astype(np.float32), boosts.astype(np.float32))


def _assembled(
    terms: np.ndarray,
    weights: np.ndarray,
    lengths: np.ndarray,
    rows: np.ndarray,
    impacts: np.ndarray,
    once: np.ndarray,
    statistics: Statistics,
) -> WordLists:
    """Lists of int64 `[T]` lengths, their rows and impacts `[P]` one behind the other, of as many items as `once`."""
    ends = np.cumsum(lengths)
    long_terms = np.flatnonzero(lengths > LONG)
    pieces = [slice(ends[one] - lengths[one], ends[one]) for one in long_terms]
    best = np.array([_best(impacts[piece]) + piece.start for piece in pieces], np.int64).reshape(-1)
    offsets = np.concatenate([[0], ends, [len(rows)]]) + len(best)
    begins, read = offsets[:-1].astype(np.int32), np.append(lengths, 0).astype(np.int32)
    begins[long_terms], read[long_terms] = np.arange(len(long_terms), dtype=np.int32) * BEST, BEST
    by_item = np.argsort(rows, kind="stable")
    return WordLists(
        terms,
        offsets.astype(np.int64),
        np.append(rows[best], rows),
        np.append(impacts[best], impacts),
        weights,
        begins,
        read,
        *_filters([rows[piece] for piece in pieces], len(once)),
        np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)[by_item],
        impacts[by_item],
        np.searchsorted(rows[by_item], np.arange(len(once) + 1)).astype(np.int32),
        once,
        *statistics,
    )


def count_words(items: ItemWords, boosts: np.ndarray) -> Counted:
    """Each word of each item once, with how often it is there."""
    kept = (items.fields != DESCRIPTION) | (boosts[DESCRIPTION] > 0)
    rows = np.repeat(np.arange(len(items), dtype=np.int32), items.lengths)[kept]
    words, fields = items.words[kept], items.fields[kept]
    order = np.argsort(words, kind="stable")
    words, rows, fields = words[order], rows[order], fields[order]
    firsts = np.flatnonzero(_changes(words) | _changes(rows))
    if not len(firsts):
        return Counted(words, rows, np.zeros((2, 0), np.float32))
    in_title = np.repeat(np.bitwise_or.reduceat(fields == TITLE, firsts), np.diff(firsts, append=len(fields)))
    times = boosts[fields] * ~((fields == BRAND) & in_title)
    described = fields == DESCRIPTION
    counted = [np.add.reduceat(times * kind, firsts) for kind in (~described, described)]
    alone = np.bitwise_and.reduceat(described, firsts)
    terms = np.where(alone, terms_of("described", words[firsts]), terms_of("word", words[firsts]))
    order = np.argsort(terms, kind="stable")
    return Counted(terms[order], rows[firsts][order], np.stack(counted).astype(np.float32)[:, order])


def impacts_of(counted: Counted, items: int, means: np.ndarray) -> np.ndarray:
    """uint8 [P]: BM25's share of a word's weight, by how often an item has it, and how many words the item has."""
    held_back = _held_back(counted, items, means)[:, counted.rows]
    often = (counted.times / held_back).sum(axis=0)
    return np.rint(often / (often + K1) * STEPS).astype(np.uint8)


def _held_back(counted: Counted, items: int, means: np.ndarray) -> np.ndarray:
    """float32 `[2, N]`: what a word of a text counts less than one of a text of mean length."""
    return 1 - B + B * counted.lengths(items) / np.where(means > 0, means, 1)[:, None]


def are_described(terms: np.ndarray) -> np.ndarray:
    """Which terms are words of descriptions."""
    return (terms >= _FIRST["described"]) & (terms < _FIRST["leaf"])


def rarity(having: Any, items: int) -> Any:
    """What a word is worth whose impact is 1 of STEPS, by how many of the items have it."""
    return np.log1p((items - having + 0.5) / (having + 0.5)) * (K1 + 1) / STEPS


def weights_of(terms: np.ndarray, having: np.ndarray, items: int) -> np.ndarray:
    """float32 `[T]`, of terms that so many of the items have; a word is as rare as it is in all fields together.

    Of a part of the terms as well, where a word of titles and of descriptions is in one part.
    """
    words = np.where(are_described(terms), terms - _FIRST["described"], terms - _FIRST["word"])
    _, places = np.unique(words, return_inverse=True)
    together = np.bincount(places, having, minlength=1)[places] if len(terms) else having
    return rarity(together, items).astype(np.float32)


def _best(impacts: np.ndarray) -> np.ndarray:
    """The places `[BEST]` of a long term's postings `[n]` by impact, of equal ones the earlier first."""
    return np.argsort(STEPS - impacts, kind="stable")[:BEST]


def _filters(lists: list[np.ndarray], items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each list of rows its bits, a row's at `row & mask`; then where they begin, and the masks.

    With a bit for each item a filter is exact; where that is more than _BITS_A_POSTING, several rows share one.
    """
    filters, masks = [], []
    for rows in lists:
        shared = 2 ** math.ceil(math.log2(_BITS_A_POSTING * len(rows)))
        mask = shared - 1 if shared < items else 2**31 - 1
        bits = np.zeros(-(-min(shared, items) // 32) * 32, bool)
        bits[rows & mask] = True
        filters.append(np.packbits(bits, bitorder="little").view("<i4"))
        masks.append(mask)
    begins = np.cumsum([0, *map(len, filters)])[:-1]
    return np.concatenate([np.zeros(0, np.int32), *filters]), begins.astype(np.int32), np.array(masks, np.int32)


def _changes(values: np.ndarray) -> np.ndarray:
    """Where another value begins than stands before, bool `[n]`."""
    return np.concatenate([[True], values[1:] != values[:-1]]) if len(values) else np.zeros(0, bool)
