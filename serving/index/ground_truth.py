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
            scores = np.concatenate([best, scores], axis=1)
            names = np.concatenate([found, np.broadcast_to(rows, (len(queries), len(rows)))], axis=1)
            chosen = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            best, found = (np.take_along_axis(one, chosen, axis=1) for one in (scores, names))
        first += len(part)
    order = np.argsort(-best, axis=1, kind="stable")
    best, found = (np.take_along_axis(one, order, axis=1) for one in (best, found))
    return np.where(np.isfinite(best), found, -1)
