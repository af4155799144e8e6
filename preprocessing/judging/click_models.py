"""What a click says once the place where the item stood is taken out: clicks over those that its places lead to expect.

* *COEC*, clicks over expected clicks: a place expects what is clicked there on average, whatever stands there.
* *PBM*, the position-based model: a click needs that the place is looked at and that the item attracts; both are
  found by expectation maximisation, so a place is not called better because better items stand there.

Either way an item's score is `clicks / (expected + prior)`: 1 is what any item has at its places. Of one that was
hardly shown little is believed: the prior are expected clicks that did not come.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

Model = Literal["coec", "pbm"]
PRIOR = 1.0  # expected clicks
_ROUNDS, _ENOUGH = 200, 1e-4
_SELDOM = 1e-3


class Counts(NamedTuple):
    """Of `m` triples of query, item and place; a pair is a query with an item, of which there are `n`."""

    pair: np.ndarray  # [m], which of the pairs
    place: np.ndarray  # [m], from 0
    shown: np.ndarray  # float [m]
    clicked: np.ndarray  # float [m]

    def of_pairs(self, values: np.ndarray) -> np.ndarray:
        """Sums `[m]` up to `[n]`."""
        return np.bincount(self.pair, values, self.pair.max() + 1)

    def of_places(self, values: np.ndarray) -> np.ndarray:
        """Sums `[m]` up by place."""
        return np.bincount(self.place, values, self.place.max() + 1)


def expected_clicks(counts: Counts, model: Model) -> np.ndarray:
    """By place how many clicks an impression leads to expect."""
    rates = counts.of_places(counts.clicked) / np.maximum(counts.of_places(counts.shown), 1.0)
    if model == "coec":
        return rates
    looked_at = examination(counts, rates)
    return looked_at * counts.clicked.sum() / max((counts.shown * looked_at[counts.place]).sum(), 1.0)


def examination(counts: Counts, rates: np.ndarray) -> np.ndarray:
    """By place how likely it is looked at, as a share of the likeliest; begins at the click rates."""
    looked_at = np.clip(rates / max(rates.max(), _SELDOM), _SELDOM, 1.0)
    times, at_place = counts.of_pairs(counts.shown), np.maximum(counts.of_places(counts.shown), 1.0)
    mean = counts.clicked.sum() / counts.shown.sum()
    attraction = np.full(len(times), mean)
    missed = counts.shown - counts.clicked
    for _ in range(_ROUNDS):
        attracts, looks = attraction[counts.pair], looked_at[counts.place]
        no_click = np.maximum(1.0 - attracts * looks, _SELDOM)
        attracted = counts.clicked + missed * attracts * (1.0 - looks) / no_click
        looked = counts.clicked + missed * looks * (1.0 - attracts) / no_click
        # One impression's worth of the mean: an item that was shown once is not what its one click or miss says.
        mean = attracted.sum() / counts.shown.sum()
        attraction = (counts.of_pairs(attracted) + mean) / (times + 1.0)
        before, looked_at = looked_at, counts.of_places(looked) / at_place
        looked_at = np.clip(looked_at / max(looked_at.max(), _SELDOM), _SELDOM, 1.0)
        if np.abs(looked_at - before).max() < _ENOUGH:
            break
    return looked_at


def scores(counts: Counts, expected: np.ndarray, prior: float = PRIOR) -> np.ndarray:
    """`[n]`: clicks over expected ones."""
    return counts.of_pairs(counts.clicked) / (counts.of_pairs(counts.shown * expected[counts.place]) + prior)
