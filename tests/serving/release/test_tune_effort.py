"""The search for the cheapest effort, on an index and on figures made up."""

from __future__ import annotations

import numpy as np
import pytest

from serving.config import PortableConfig, TuningConfig
from serving.index.base import Effort, leaf_steps
from serving.index.ground_truth import exact_rows
from serving.index.portable import build_portable
from serving.release.tune_effort import Point, Recalls, _climb, _fewest, recalls_of, tune

RANDOM = np.random.default_rng(3)
CENTRES = RANDOM.normal(size=(30, 16))
VECTORS = (CENTRES[RANDOM.integers(0, 30, 3_000)] + RANDOM.normal(size=(3_000, 16)) / 2).astype(np.float32)
QUERIES = (CENTRES[RANDOM.integers(0, 30, 50)] + RANDOM.normal(size=(50, 16)) / 2).astype(np.float32)


def test_tuning_finds_the_least_that_reaches_the_target() -> None:
    truth = exact_rows([VECTORS], QUERIES, 20)
    index = build_portable(VECTORS, PortableConfig())
    tuned = tune(index, QUERIES, truth, TuningConfig(target_recall=0.9, k=20))
    assert tuned.reached and tuned.chosen.recall > tuned.chosen.recalls.lower >= 0.9
    reaching = [point.effort.leaves for point in tuned.curve if point.recalls.lower >= 0.9]
    short = [point.effort.leaves for point in tuned.curve if point.recalls.lower < 0.9]
    assert max(short) < min(reaching) < index.settings()["leaves"]


def even(recall: float) -> Recalls:
    """The same for every query."""
    return Recalls(recall, recall, recall, recall)


def test_the_interval_of_a_recall() -> None:
    """By hand: shares 1, 0.5, 1, 0.5 have mean 0.75 and deviation 0.2887, so a standard error of 0.1443."""
    truth = np.array([[1, 2]] * 4)
    found = np.array([[1, 2], [1, 9], [2, 1], [8, 2]])
    assert recalls_of(found, truth) == pytest.approx((0.75, 0.75 - 1.645 * 0.14434, 0.5, 0.5), abs=1e-4)
    assert recalls_of(truth, truth) == (1.0, 1.0, 1.0, 1.0)


def test_the_fewest_leaves_are_found_without_opening_all() -> None:
    way = [Effort(10, leaves) for leaves in leaf_steps(1_000)]
    opened = []

    def measure(effort: Effort) -> Point:
        opened.append(effort.leaves)
        return Point(effort, even(min(1.0, effort.leaves / 20)), effort.leaves / 100)

    assert leaf_steps(1) == [1] and way[-1].leaves == 1_000
    enough = way[_fewest(way, measure, 0.95)].leaves
    assert enough == min(one.leaves for one in way if one.leaves >= 19) and max(opened) < 100
    assert _fewest(way, lambda effort: Point(effort, even(0.5), 1.0), 0.95) == len(way) - 1
    assert _climb(way, measure, 0.95, latency_ms=0.5).effort.leaves == enough
    assert _climb(way, measure, 0.95, latency_ms=0.1) is None  # slower than what is known already
