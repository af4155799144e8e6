"""Judged queries: how good the first ten items of a version are for each, by the grades that people or logs gave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

DEPTH = 10
GOOD = 2  # a grade from here on is relevant, as in `trainer.evaluate --judgments`
Grades = Mapping[str, Mapping[str, float]]  # query -> item -> grade


def precision(ids: Sequence[str], grades: Mapping[str, float]) -> float:
    """The share of the first ten places that relevant items fill."""
    return sum(grades.get(one, 0) >= GOOD for one in ids[:DEPTH]) / DEPTH


def ndcg(ids: Sequence[str], grades: Mapping[str, float]) -> float:
    """NDCG@10: gains of 2^grade - 1 over the logarithm of the place, to those of the best order there is."""
    best = _discounted(sorted(grades.values(), reverse=True))
    return _discounted([grades.get(one, 0) for one in ids]) / best if best else 0.0


def _discounted(grades: Sequence[float]) -> float:
    return sum((2**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades[:DEPTH]))


def scored(answers: Mapping[str, Sequence[str]], grades: Grades) -> dict[str, Any]:
    """The figures of each query by its answer, and their means."""
    figures = {
        query: {"precision": precision(ids, grades[query]), "ndcg": ndcg(ids, grades[query])}
        for query, ids in answers.items()
    }
    names, count = ("precision", "ndcg"), max(1, len(figures))
    mean = {name: sum(row[name] for row in figures.values()) / count for name in names}
    return {"queries": [{"query": query, **row} for query, row in figures.items()], "mean": mean}
