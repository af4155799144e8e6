"""Intervals of means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from preprocessing.words.bootstrap import Bootstrap

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


def test_seeds_widen_an_interval() -> None:
    random = np.random.default_rng(7)
    users = np.arange(300)
    base = random.normal(size=300)
    seeds = base + np.array([[-0.5], [0.0], [0.5]])  # one config, three levels: what a single seed reaches is luck
    bootstrap = Bootstrap(users, seed=1)
    one, all_seeds = bootstrap.estimate(base), bootstrap.estimate(seeds)
    assert one is not None and all_seeds is not None
    assert all_seeds.mean == pytest.approx(one.mean) and all_seeds.requests == 300
    assert all_seeds.high - all_seeds.low > 2 * (one.high - one.low)
    # The mean of three drawn of these has the variance of the users' mean and a third of that between the seeds.
    width = 2 * 1.96 * math.sqrt(base.var() / 300 + seeds.mean(axis=1).var() / 3)
    assert all_seeds.high - all_seeds.low == pytest.approx(width, rel=0.25)
    alike = bootstrap.difference(seeds + 0.01, seeds)  # as many seeds: paired by their order
    assert alike is not None and alike.low == pytest.approx(0.01) == alike.high
    of_one = bootstrap.difference(seeds, base)
    assert of_one is not None and not of_one.excludes_zero and of_one.high - of_one.low > 0.5


def test_a_difference_is_of_requests_that_both_have() -> None:
    bootstrap = Bootstrap(np.arange(4), seed=1)
    found = bootstrap.difference(np.array([1, NAN, 3, 4]), np.array([[0, 0, NAN, 2], [0, 0, 0, 2.0]]))
    assert found is not None and found.requests == 2 and found.mean == 1.5
    assert bootstrap.difference(np.full(4, NAN), np.zeros(4)) is None
