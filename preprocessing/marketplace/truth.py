"""Graded relevance of the whole catalogue for some of the last days' queries; training never reads it.

An item's grade follows from what the query's searchers were after: 3 for the leaf with every attribute that the query
asks for, 2 for the leaf with some of them, 1 for the leaf with none or for a leaf that substitutes.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import numpy as np

from preprocessing.marketplace.catalog import Catalog
from preprocessing.marketplace.lexicon import ATTRIBUTES, Lexicon
from preprocessing.marketplace.queries import Query

_SEGMENTS = ("head", "torso", "tail")
_MEANT = 0.15  # a reading that fewer of the query's searchers share is not counted


class Truth:
    """Collects queries, samples some of them, grades the catalogue for each."""

    def __init__(self, catalog: Catalog, lexicon: Lexicon) -> None:
        self._catalog = catalog
        self._lexicon = lexicon
        self._readings: dict[str, collections.Counter[tuple]] = collections.defaultdict(collections.Counter)

    def add(self, query: Query) -> None:
        """Takes a query of the evaluation days."""
        self._readings[query.text][query.leaf, query.asked] += 1

    def sample(self, count: int, random: np.random.Generator) -> list[tuple[str, str]]:
        """(query, segment): a third each of the most frequent, the middle and the rare."""
        ranked = sorted(self._readings, key=lambda text: (-self._readings[text].total(), text))
        searches = np.cumsum([self._readings[text].total() for text in ranked])
        bounds = np.searchsorted(searches, searches[-1] * np.array([0.0, 1 / 3, 2 / 3, 1.0]))
        bounds[-1] = len(ranked)
        chosen = []
        for segment, first, end in zip(_SEGMENTS, bounds[:-1], bounds[1:], strict=True):
            picked = random.permutation(np.arange(first, end))[: -(-count // 3)]
            chosen += [(ranked[place], segment) for place in sorted(picked.tolist())]
        return chosen

    def intents(self, query: str) -> list[dict[str, Any]]:
        """The readings of a query, for people."""
        return [
            {
                "leaf": self._lexicon.leaves[leaf],
                "asked": {
                    name: self._lexicon.values[number][asked[number]].title[0]
                    for number, name in enumerate(ATTRIBUTES)
                    if asked[number] >= 0
                },
                "share": round(count / self._readings[query].total(), 3),
            }
            for (leaf, asked), count in sorted(self._readings[query].items(), key=lambda one: (-one[1], one[0]))
        ]

    def judgments(self, query: str) -> Iterator[dict[str, Any]]:
        """Every item with a grade above 0."""
        readings = self._readings[query]
        grades = np.zeros(len(self._catalog.item_ids), np.int8)
        for (leaf, asked), count in readings.items():
            if count >= _MEANT * readings.total():
                grades = np.maximum(grades, self._grades(leaf, np.array(asked)))
        for item in np.flatnonzero(grades).tolist():
            yield {"query": query, "item_id": self._catalog.item_ids[item], "grade": int(grades[item])}

    def _grades(self, leaf: int, asked: np.ndarray) -> np.ndarray:
        same = self._catalog.leaf == leaf
        near = np.isin(self._catalog.leaf, list(self._lexicon.neighbours[leaf]))
        minds = asked >= 0
        if not minds.any():
            return np.where(same, 3, near.astype(int))
        match = (self._catalog.values[:, minds] == asked[minds]).mean(axis=1)
        own = np.where(match == 1.0, 3, np.where(match > 0, 2, 1))
        return np.where(same, own, near.astype(int))
