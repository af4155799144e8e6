"""P_good: the share of what is retrieved that graded judgments call relevant to the query."""

from __future__ import annotations

import gzip
import json
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from trainer.evaluation.catalogue import Catalogue

GOOD = 2  # a grade from here on is relevant
_ASKED = 5  # requests of a judged query that are looked at; their mean is the query's figure


class Judgment(NamedTuple):
    """One line."""

    user_id: bytes | None  # whose query it is of; None: anybody's
    query: bytes
    item_id: bytes
    grade: float


class Judgments:
    """Which rows of the catalogue are relevant to each judged query, and to a query of one user."""

    def __init__(self, path: str, catalogue: Catalogue) -> None:
        good: dict[tuple[bytes | None, bytes], list[bytes]] = {}
        for number, line in enumerate(_lines(path), 1):
            one = _judgment(line, path, number)
            if one.grade >= GOOD:
                good.setdefault((one.user_id, one.query), []).append(one.item_id)
        if not good:
            raise UserError(f"--judgments {path} names no item of grade {GOOD} or more for any query")
        rows = {asked: np.sort(catalogue.rows(item_ids)) for asked, item_ids in good.items()}
        self.queries = sorted(query for user_id, query in rows if user_id is None)
        self._good = [rows[None, query] for query in self.queries]
        self._personal = {asked: found for asked, found in rows.items() if asked[0] is not None}

    @property
    def personal(self) -> bool:
        """Whether any judgment is one user's."""
        return bool(self._personal)

    def relevant_to(self, user_id: bytes, query: bytes) -> np.ndarray | None:
        """The rows relevant to one user's query, None if that is not judged."""
        return self._personal.get((user_id, query))

    def shares(self, rows: np.ndarray, place: int, k: int) -> float:
        """Of the first `k` retrieved for a request of query number `place`, the share that is relevant."""
        return _share(rows, self._good[place], k)

    def possible(self, k: int) -> np.ndarray:
        """By judged query the largest share that `k` retrieved items can have; 0 where no relevant item is live."""
        return np.array([min(k, (rows >= 0).sum()) / k for rows in self._good])

    def relevant(self, query: bytes) -> np.ndarray | None:
        """The relevant rows of a query, None if it is not judged."""
        place = np.searchsorted(self.queries, query) if query in self.queries else None
        return None if place is None else self._good[int(place)]

    def asked_by(self, queries: np.ndarray) -> tuple[list[np.ndarray], list[int]]:
        """For each judged query the requests (by place) that ask it, at most five; and those that none asks."""
        places: dict[bytes, list[int]] = {query: [] for query in self.queries}
        for place, query in enumerate(queries.tolist()):
            if query in places and len(places[query]) < _ASKED:
                places[query].append(place)
        asked = [np.array(places[query], np.int64) for query in self.queries]
        return asked, [number for number, one in enumerate(asked) if not len(one)]


def p_good(judgments: Judgments, queries: np.ndarray, rows: np.ndarray, unasked: np.ndarray, k: int) -> np.ndarray:
    """By judged query the mean share over its requests.

    Args:
      queries: `[n]`, the requests' queries.
      rows: `[n, K]`, what was retrieved for them.
      unasked: `[m, K]`, what was retrieved for the judged queries that no request asks, in order.
    """
    asked, nobody = judgments.asked_by(queries)
    found = np.zeros(len(asked))
    for number, requests in enumerate(asked):
        if len(requests):
            found[number] = np.mean([judgments.shares(rows[request], number, k) for request in requests])
    for number, retrieved in zip(nobody, unasked, strict=True):
        found[number] = judgments.shares(retrieved, number, k)
    return found


def p_good_personal(
    judgments: Judgments, users: np.ndarray, queries: np.ndarray, rows: np.ndarray, k: int
) -> np.ndarray:
    """By request the share of its first `k` that is relevant to its user's query; nan where that is not judged."""
    found = np.full(len(queries), np.nan)
    for place, asked in enumerate(zip(users.tolist(), queries.tolist(), strict=True)):
        relevant = judgments.relevant_to(*asked)
        if relevant is not None:
            found[place] = _share(rows[place], relevant, k)
    return found


def _share(rows: np.ndarray, relevant: np.ndarray, k: int) -> float:
    return float(np.isin(rows[:k], relevant[relevant >= 0]).sum() / k)


def _lines(path: str) -> list[bytes]:
    if not tf.io.gfile.exists(path):
        raise UserError(f"--judgments {path}: no such file")
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    return (gzip.decompress(content) if path.endswith(".gz") else content).splitlines()


def _judgment(line: bytes, path: str, number: int) -> Judgment:
    try:
        record = json.loads(line)
        user_id = record.get("user_id")
        return Judgment(
            None if user_id is None else str(user_id).encode(),
            str(record["query"]).encode(),
            str(record["item_id"]).encode(),
            float(record["grade"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--judgments {path} line {number}: {error!r}; each line is "
            '{"query": "...", "item_id": "...", "grade": 0 to 3}, and "user_id" where it holds for one user'
        ) from None
