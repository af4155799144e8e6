"""The requests that an index is tuned by: head, torso and tail queries, with their users' pasts and without."""

from __future__ import annotations

import collections

import numpy as np

from serving.catalogue.data_records import Requests

_STRATA = 3  # head, torso, tail: each a third of the requests, from the most frequent query down
POOL = 20  # requests to draw from for each that is wanted


def tuning_samples(pool: Requests, count: int) -> tuple[Requests, Requests]:
    """Two samples of `count` requests at most that share none: one to tune by, one that the tuning does not see.

    An index tuned on plain requests alone falls short of its target on the others: head queries crowd out the tail,
    and a query without a past has another vector than the same one of a user.
    """
    strata = _strata(pool.inputs["query"].tolist())
    alone: set[bytes] = set()
    tuned_by, unseen = (_sample(pool, strata, np.arange(half, len(pool), 2), count, alone) for half in range(2))
    return tuned_by, unseen


def _sample(pool: Requests, strata: np.ndarray, rows: np.ndarray, count: int, alone: set[bytes]) -> Requests:
    """Of some rows an equal share of each stratum, with a past and without; `alone` are the queries without so far."""
    share = -(-count // (2 * _STRATA))
    with_past: list[int] = []
    without: list[int] = []
    for stratum in range(_STRATA):
        members = rows[strata[rows] == stratum].tolist()
        with_past += members[:share]
        first = {pool.inputs["query"][row]: row for row in reversed(members)}
        new = [row for query, row in first.items() if query not in alone][::-1][:share]
        alone.update(pool.inputs["query"][row] for row in new)
        without += new
    return pool.take(with_past).joined(pool.take(without).without_past())


def _strata(queries: list[bytes]) -> np.ndarray:
    """int `[R]`: 0 for the most frequent queries that a third of the requests ask, then 1, then 2."""
    counts = collections.Counter(queries)
    begins, before = {}, 0
    for query in sorted(counts, key=lambda one: (-counts[one], one)):
        begins[query] = before
        before += counts[query]
    return np.array([begins[query] * _STRATA // len(queries) for query in queries], np.int64)
