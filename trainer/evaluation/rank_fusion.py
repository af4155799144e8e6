"""Two retrievers as one: reciprocal rank fusion."""

from __future__ import annotations

import numpy as np

from trainer.evaluation.exact_top_k import Ranking


def fused(one: Ranking, other: Ranking, constant: float = 60.0, weight: float = 1.0) -> Ranking:
    """Reciprocal rank fusion: an item scores the sum of 1 / (constant + rank) over the lists it is in.

    `weight` is what a place in `one` counts against the same place in `other`.
    """
    k = one.rows.shape[1]
    gains = np.outer([weight, 1.0], 1.0 / (constant + 1 + np.arange(k))).ravel()
    found = [_fuse_lists(np.concatenate(lists), gains, k) for lists in zip(one.rows, other.rows, strict=True)]
    return Ranking(np.stack([rows for rows, _ in found]), np.stack([scores for _, scores in found]))


def _fuse_lists(rows: np.ndarray, gains: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    there = rows >= 0
    distinct, places = np.unique(rows[there], return_inverse=True)
    scores = np.bincount(places, gains[there], len(distinct))
    order = np.lexsort([distinct, -scores])[:k]
    missing = k - len(order)
    return (
        np.pad(distinct[order], (0, missing), constant_values=-1).astype(np.int32),
        np.pad(scores[order], (0, missing), constant_values=-np.inf).astype(np.float32),
    )
