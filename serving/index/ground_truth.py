"""The exact answers, from the vectors themselves: what every index is measured by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BLOCK = 16_384
_QUERIES = 256


def exact_rows(parts: Sequence[np.ndarray], queries: np.ndarray, k: int, alive: np.ndarray | None = None) -> np.ndarray:
    """The rows of the k best inner products.

    Args:
      parts: float32 `[n, dim]` each, one behind the other; mapped from files, they are read block by block.
      queries: float32 `[Q, dim]`.
      k: how many.
      alive: bool `[N]`, which rows count; all by default.

    Returns:
      int32 `[Q, k]`, best first, -1 where fewer are alive.
    """
    return np.concatenate(
        [_exact(parts, queries[begin : begin + _QUERIES], k, alive) for begin in range(0, len(queries), _QUERIES)]
    )


def _exact(parts: Sequence[np.ndarray], queries: np.ndarray, k: int, alive: np.ndarray | None) -> np.ndarray:
    best: np.ndarray = np.full((len(queries), k), -np.inf, np.float32)
    found: np.ndarray = np.full((len(queries), k), -1, np.int32)
    first = 0
    for part in parts:
        for begin in range(0, len(part), _BLOCK):
            scores = queries @ np.asarray(part[begin : begin + _BLOCK]).T
            rows = np.arange(first + begin, first + begin + scores.shape[1], dtype=np.int32)
            if alive is not None:
                scores[:, ~alive[rows]] = -np.inf
            best, found = _merged(best, found, scores, rows)
        first += len(part)
    order = np.lexsort((found, -best), axis=1)  # of equal scores the earlier row
    best, found = (np.take_along_axis(one, order, axis=1) for one in (best, found))
    return np.where(np.isfinite(best), found, -1)


def _merged(best: np.ndarray, found: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best `[Q, k]` with those of some more rows `[n]` that belong among them; after a few blocks those are few."""
    k = best.shape[1]
    query, place = np.nonzero(scores > best.min(axis=1, keepdims=True))
    counts = np.bincount(query, minlength=len(best))
    column = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    more = np.full((len(best), counts.max(initial=0)), -np.inf, np.float32)
    names = np.full(more.shape, -1, np.int32)
    more[query, column], names[query, column] = scores[query, place], rows[place]
    scores, names = np.concatenate([best, more], axis=1), np.concatenate([found, names], axis=1)
    chosen = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return np.take_along_axis(scores, chosen, axis=1), np.take_along_axis(names, chosen, axis=1)
