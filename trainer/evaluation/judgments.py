"""P_good: the share of what is retrieved that graded judgments call relevant to the query."""

from __future__ import annotations

import gzip
import json

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from trainer.evaluation.catalogue import Catalogue

GOOD = 2  # a grade from here on is relevant
_ASKED = 5  # requests of a judged query that are looked at; their mean is the query's figure


class Judgments:
    """Which rows of the catalogue are relevant to each judged query."""

    def __init__(self, path: str, catalogue: Catalogue) -> None:
        good: dict[bytes, list[bytes]] = {}
        for number, line in enumerate(_lines(path), 1):
            query, item_id, grade = _judgment(line, path, number)
            relevant = good.setdefault(query, [])
            if grade >= GOOD:
                relevant.append(item_id)
        self.queries = sorted(query for query, relevant in good.items() if relevant)
        if not self.queries:
            raise UserError(f"--judgments {path} names no item of grade {GOOD} or more for any query")
        self._good = [np.sort(catalogue.rows(good[query])) for query in self.queries]

    def shares(self, rows: np.ndarray, place: int, k: int) -> float:
        """Of the first `k` retrieved for a request of query number `place`, the share that is relevant."""
        return float(np.isin(rows[:k], self._good[place][self._good[place] >= 0]).sum() / k)

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


def _lines(path: str) -> list[bytes]:
    if not tf.io.gfile.exists(path):
        raise UserError(f"--judgments {path}: no such file")
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    return (gzip.decompress(content) if path.endswith(".gz") else content).splitlines()


def _judgment(line: bytes, path: str, number: int) -> tuple[bytes, bytes, float]:
    try:
        record = json.loads(line)
        return str(record["query"]).encode(), str(record["item_id"]).encode(), float(record["grade"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--judgments {path} line {number}: {error!r}; each line is "
            '{"query": "...", "item_id": "...", "grade": 0 to 3}'
        ) from None
