"""Scorecard of one request, as arrays over requests; nan where a request has nothing to find."""

from __future__ import annotations

import numpy as np

from trainer.evaluation.eval_requests import Lists

PAIRS = (("ordered", "clicked"), ("ordered", "shown"), ("clicked", "shown"))


def hits(rows: np.ndarray, targets: Lists) -> tuple[np.ndarray, np.ndarray]:
    """Of each target its request, and its rank among the retrieved `[n, K]` (K where it is not among them)."""
    owners = targets.owners
    ranks = np.full(len(owners), rows.shape[1])
    for first in range(0, len(owners), 8192):
        part = slice(first, first + 8192)
        same = rows[owners[part]] == targets.values[part, None]
        ranks[part] = np.where(same.any(axis=1), same.argmax(axis=1), rows.shape[1])
    return owners, ranks


def recall(ranks: np.ndarray, owners: np.ndarray, counted: np.ndarray, requests: int, k: int) -> np.ndarray:
    """The share of a request's counted targets with a rank under `k`: `[n]`."""
    found = np.bincount(owners[counted], ranks[counted] < k, requests)
    return _share(found, np.bincount(owners[counted], minlength=requests))


def ndcg(ranks: np.ndarray, owners: np.ndarray, counted: np.ndarray, requests: int, k: int) -> np.ndarray:
    """Discounted gain of a request's counted targets, all alike, over that of the best order: `[n]`."""
    gains = np.where(ranks < k, 1 / np.log2(ranks + 2), 0.0)
    found = np.bincount(owners[counted], gains[counted], requests)
    wanted = np.minimum(np.bincount(owners[counted], minlength=requests), k)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    return _share(found, ideal[wanted])


def pairwise_accuracy(stages: dict[str, Lists], scores: dict[str, np.ndarray], requests: int) -> dict[str, np.ndarray]:
    """By pair of stages, the share of a request's pairs that come in order; ties are half right; nan scores are out."""
    found = {}
    for high, low in PAIRS:
        right, all_pairs = np.zeros(requests), np.zeros(requests)
        for request in range(requests):
            above, below = (_scores_of(stages[name], scores[name], request) for name in (high, low))
            gaps = above[:, None] - below[None, :]
            right[request] = (gaps > 0).sum() + 0.5 * (gaps == 0).sum()
            all_pairs[request] = gaps.size
        found[f"{high}>{low}"] = _share(right, all_pairs)
    return found


def coverage(rows: np.ndarray, items: int, k: int) -> float:
    """The share of the catalogue that is among anybody's first `k`."""
    retrieved = np.unique(rows[:, :k])
    return float((retrieved >= 0).sum() / max(items, 1))


def popularity(rows: np.ndarray, counts: np.ndarray, k: int) -> np.ndarray:
    """The mean percentile of the retrieved items when the catalogue is ranked by training positives: `[n]`."""
    ranked = np.sort(counts)
    percentile = (np.searchsorted(ranked, counts, "left") + np.searchsorted(ranked, counts, "right")) / 2
    percentile = np.append(percentile / max(len(counts), 1), np.nan)
    with np.errstate(invalid="ignore"):
        there = rows[:, :k] >= 0
        return _share(np.where(there, percentile[rows[:, :k]], 0.0).sum(axis=1), there.sum(axis=1))


def _scores_of(lists: Lists, scores: np.ndarray, request: int) -> np.ndarray:
    own = scores[lists.splits[request] : lists.splits[request + 1]]
    return own[~np.isnan(own)]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
