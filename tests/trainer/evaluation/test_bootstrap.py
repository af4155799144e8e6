"""Intervals of means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.evaluation.bootstrap import Bootstrap

NAN = math.nan


def test_intervals_resample_users() -> None:
    random = np.random.default_rng(3)
    users = np.repeat(np.arange(200), 5)
    values = np.repeat(random.normal(size=200), 5)  # one user's requests are all alike: 200 facts, not 1000
    bootstrap = Bootstrap(users, seed=1)
    found, alone = bootstrap.estimate(values), Bootstrap(np.arange(1000), seed=1).estimate(values)
    assert found is not None and alone is not None
    assert found.mean == pytest.approx(values.mean()) and found.low < found.mean < found.high
    assert (found.high - found.low) / (alone.high - alone.low) == pytest.approx(5**0.5, rel=0.2)
    assert Bootstrap(users, seed=1).estimate(values) == found
    assert bootstrap.estimate(np.full(1000, NAN)) is None
    shifted = bootstrap.estimate((values + 0.01) - values)
    assert shifted is not None and shifted.excludes_zero and shifted.low == pytest.approx(0.01)


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    """Two models find much the same: what one has more than the other is surer than what each has."""
    random = np.random.default_rng(5)
    users = np.repeat(np.arange(150), 4)
    hard = random.normal(size=600)  # of a request, for both
    one, other = hard + 0.1 + 0.2 * random.normal(size=600), hard + 0.2 * random.normal(size=600)
    paired, alone = Bootstrap(users, seed=1), Bootstrap(users, seed=2)
    first, second, difference = paired.estimate(one), alone.estimate(other), paired.estimate(one - other)
    assert first is not None and second is not None and difference is not None
    unpaired = math.hypot(first.high - first.low, second.high - second.low)
    assert difference.high - difference.low < unpaired / 3
    assert difference.excludes_zero and first.low < second.high  # which the two intervals alone do not show
