"""What was true and no log says: graded relevance to queries and to users' queries, and what searches were after.

An item's grade follows from what the query's searchers were after: 3 for the leaf with every attribute that the query
asks for, 2 for the leaf with some of them, 1 for the leaf with none. For a user's query only those relevant items count
that are the user's kind of thing: 3 for the best twentieth by taste, 2 for the best fifth. Training never reads it.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import numpy as np

from preprocessing.marketplace.lexicon import ATTRIBUTES
from preprocessing.marketplace.queries import Query
from preprocessing.marketplace.taste import appeal
from preprocessing.marketplace.world import World

_SEGMENTS = ("head", "torso", "tail")
_MEANT = 0.15  # a reading that fewer of the query's searchers share is not counted
_PEOPLE = 3  # users of a query whose own relevance is graded
_BUSY = 50
GOOD = 2  # a grade from here on is relevant
_BEST, _SUITS = 0.95, 0.8  # quantiles of taste among what is relevant


class Truth:
    """Collects queries, samples some of them, grades the catalogue for each."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._readings: dict[str, collections.Counter[tuple]] = collections.defaultdict(collections.Counter)
        self._askers: dict[str, dict[int, None]] = collections.defaultdict(dict)

    def add(self, user: int, query: Query) -> None:
        """Takes a query of the evaluation days."""
        self._readings[query.text][query.leaf, query.asked] += 1
        self._askers[query.text][user] = None

    def is_empty(self) -> bool:
        """Whether no query came."""
        return not self._readings

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

    def search(self, request_id: str, query: Query) -> dict[str, Any]:
        """What one search was after."""
        return {
            "request_id": request_id,
            "leaf": self._world.lexicon.leaves[query.leaf],
            "asked": self._asked(query.asked),
        }

    def intents(self, query: str) -> list[dict[str, Any]]:
        """The readings of a query, for people."""
        readings = sorted(self._readings[query].items(), key=lambda one: (-one[1], one[0]))
        total = self._readings[query].total()
        return [
            {
                "leaf": self._world.lexicon.leaves[leaf],
                "asked": self._asked(asked),
                "share": round(count / total, 3),
            }
            for (leaf, asked), count in readings
        ]

    def judgments(self, query: str) -> Iterator[dict[str, Any]]:
        """Every item with a grade above 0."""
        grades = self._grades(query)
        for item in np.flatnonzero(grades).tolist():
            yield {"query": query, "item_id": self._world.catalog.item_ids[item], "grade": int(grades[item])}

    def personal(self, query: str) -> Iterator[dict[str, Any]]:
        """Every item that is relevant to some users' query, for each of them."""
        for user in list(self._askers[query])[:_PEOPLE]:
            yield from self._of_user(query, user)

    def shoppers(self, count: int) -> Iterator[dict[str, Any]]:
        """The same for the `count` most frequent queries and the two busy users whose styles differ most."""
        users = self._world.users
        busiest = np.argsort(-users.activity, kind="stable")[:_BUSY]
        alike = users.style[busiest] @ users.style[busiest].T
        pair = busiest[list(np.unravel_index(np.argmin(alike), alike.shape))]
        for query in sorted(self._readings, key=lambda text: (-self._readings[text].total(), text))[:count]:
            for user in pair.tolist():
                yield from self._of_user(query, user)

    def _of_user(self, query: str, user: int) -> Iterator[dict[str, Any]]:
        catalog, users = self._world.catalog, self._world.users
        relevant = np.flatnonzero(self._grades(query) >= GOOD)
        taste = appeal(catalog, users, np.array([user]), relevant[None])[0]
        best, suits = np.quantile(taste, (_BEST, _SUITS)) if len(taste) else (0, 0)
        for item, liking in zip(relevant.tolist(), taste.tolist(), strict=True):
            if liking >= suits:
                line = {"query": query, "user_id": users.user_ids[user], "item_id": catalog.item_ids[item]}
                yield {**line, "grade": 3 if liking >= best else 2}

    def _asked(self, asked: tuple[int, ...]) -> dict[str, str]:
        names = zip(ATTRIBUTES, self._world.lexicon.values, asked, strict=True)
        return {name: values[value].title[0] for name, values, value in names if value >= 0}

    def _grades(self, query: str) -> np.ndarray:
        """`[items]`: the best of the grades for the readings that many share."""
        grades = np.zeros(len(self._world.catalog.item_ids), np.int8)
        readings = self._readings[query]
        for (leaf, asked), count in readings.items():
            if count >= _MEANT * readings.total():
                grades = np.maximum(grades, grades_of(self._world, leaf, np.array(asked)))
        return grades


def grades_of(world: World, leaf: int, asked: np.ndarray) -> np.ndarray:
    """The grades `[items]` for one reading."""
    minds = asked >= 0
    match = (world.catalog.values[:, minds] == asked[minds]).mean(axis=1) if minds.any() else 1.0
    return np.where(world.catalog.leaf == leaf, np.where(match == 1.0, 3, np.where(match > 0, 2, 1)), 0)
