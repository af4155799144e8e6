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
