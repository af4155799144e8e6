"""The second step: all words of the catalogue, of which each worker merges a range of hashes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

import numpy as np
import tensorflow as tf

from preprocessing.words.item_words import WORD_HASHES, word_hashes
from preprocessing.words.word_lists import Counted, Terms, statistics_of, terms_of, weights_of
from serving.sharding.array_folders import read_array, read_numbers, write_arrays
from serving.sharding.plan import WORD_PARTS, Plan

_KINDS = ("word", "described")  # of terms, in the order of their hashes


def write_words(path: Path, counted: Counted, spellings: Collection[bytes]) -> None:
    """The terms of some items and how many items have each; the spelled words by their hashes."""
    terms, having = np.unique(counted.terms, return_counts=True)
    spelled = np.array(sorted(spellings), object)
    hashes = word_hashes(tf.constant(spelled.tolist(), tf.string)).numpy()
    order = np.argsort(hashes, kind="stable")
    arrays = {"terms": terms, "having": having, "hashes": hashes[order], "spelled": spelled[order]}
    write_arrays(path, arrays)


@dataclasses.dataclass(frozen=True)
class MergeWords:
    """Makes `plan.words[n]`: the terms of a range of hashes, by kind, with their weights in the whole catalogue."""

    plan: Plan

    def __call__(self, number: int) -> None:
        blocks = _blocks_of(self.plan)
        begin, end = (WORD_HASHES // WORD_PARTS * one for one in (number, number + 1))
        end = end if number < WORD_PARTS - 1 else WORD_HASHES
        arrays, terms, counts = {}, list[np.ndarray](), list[np.ndarray]()
        for kind in _KINDS:
            first, last = terms_of(kind, np.array([begin, end], np.int64))
            merged = _merged([_slice(block, first, last) for block in blocks])
            arrays[kind] = merged[0]
            terms.append(merged[0])
            counts.append(merged[1])
        weights = weights_of(np.concatenate(terms), np.concatenate(counts), items_of(self.plan))
        arrays |= dict(zip(("word_weights", "described_weights"), np.split(weights, [len(terms[0])]), strict=True))
        arrays["spelled"] = _spelled(blocks, begin, end)
        write_arrays(self.plan.words[number], arrays)


def items_of(plan: Plan) -> int:
    """How many items the catalogue has."""
    return sum(read_numbers(part / "counts")["items"] for part in plan.parts)


def whole_terms(plan: Plan) -> Terms:
    """All terms of the catalogue."""
    arrays = {name: [read_array(part, name) for part in plan.words] for kind in _KINDS for name in _names(kind)}
    terms, weights = (
        np.concatenate([one for kind in _KINDS for one in arrays[_names(kind)[place]]]) for place in range(2)
    )
    counts = [read_numbers(part / "counts") for part in plan.parts]
    items = sum(one["items"] for one in counts)
    sums = np.sum([one["sums"] for one in counts], axis=0)
    return Terms(terms, weights, statistics_of(sums, items, plan.config.channels.words.fields.boosts), items)


def all_spellings(plan: Plan) -> frozenset[bytes]:
    """The words themselves."""
    return frozenset(one for part in plan.words for one in read_array(part, "spelled").tolist())


def _names(kind: str) -> tuple[str, str]:
    return kind, f"{kind}_weights"


def _blocks_of(plan: Plan) -> list[Path]:
    return [block for part in plan.parts for block in sorted(part.glob("words-*"))]


def _slice(block: Path, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    terms = read_array(block, "terms")
    begin, end = np.searchsorted(terms, [first, last])
    return terms[begin:end], read_array(block, "having")[begin:end]


def _merged(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Rising terms, and how many items have each."""
    terms, places = np.unique(np.concatenate([one for one, _ in parts]), return_inverse=True)
    having = np.bincount(places.reshape(-1), np.concatenate([one for _, one in parts]), minlength=len(terms))
    return terms, having.astype(np.int64)


def _spelled(blocks: list[Path], begin: int, end: int) -> np.ndarray:
    found: set[bytes] = set()
    for block in blocks:
        hashes = read_array(block, "hashes")
        places = slice(*np.searchsorted(hashes, [begin, end]))
        found.update(read_array(block, "spelled")[places].tolist())
    return np.array(sorted(found), object)
