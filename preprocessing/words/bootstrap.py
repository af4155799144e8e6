"""How sure a mean is: bootstrap over users, whose requests depend on each other, and within it over seeds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
_TOGETHER = 50  # resamples multiplied at once


class Estimate(NamedTuple):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    requests: int  # requests that it is the mean of

    def json(self) -> dict[str, float]:
        """For `metrics.json`."""
        return {"mean": round(self.mean, 5), "low": round(self.low, 5), "high": round(self.high, 5), "n": self.requests}

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


class Bootstrap:
    """Resamples of the same users, and of the same seeds, for every figure, so that differences are paired.

    Values are `[n]`, one a request, or `[s, n]` of a model trained with `s` seeds.
    """

    def __init__(self, owners: np.ndarray, seed: int, resamples: int = RESAMPLES) -> None:
        _, self._groups = np.unique(owners, return_inverse=True)
        count = int(self._groups.max()) + 1 if len(self._groups) else 0
        random = np.random.default_rng(seed)
        self._seed = seed
        self._times = np.zeros([resamples, count], np.uint8)  # how often each user was drawn
        for drawn in self._times if count else ():
            drawn += np.minimum(np.bincount(random.integers(0, count, count), minlength=count), 255).astype(np.uint8)

    def estimate(self, values: np.ndarray) -> Estimate | None:
        """The mean of values without their nans; None if nothing is left."""
        return self._estimate(np.atleast_2d(values))

    def difference(self, one: np.ndarray, other: np.ndarray) -> Estimate | None:
        """How much more `one` has than `other`, over the requests that both have a value for."""
        return self._estimate(np.atleast_2d(one), np.atleast_2d(other))

    def _estimate(self, values: np.ndarray, less: np.ndarray | None = None) -> Estimate | None:
        there = ~np.isnan(values).any(axis=0)
        if less is not None:
            there &= ~np.isnan(less).any(axis=0)
        if not there.any():
            return None
        mean, drawn = values[:, there].mean(), self._drawn(values, there)
        if less is not None:
            mean, drawn = mean - less[:, there].mean(), drawn - self._drawn(less, there)
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        return Estimate(float(mean), float(low), float(high), int(there.sum()))

    def _drawn(self, values: np.ndarray, there: np.ndarray) -> np.ndarray:
        """The mean of each resample `[resamples]`; nan where nobody with a value was drawn."""
        groups, users = self._groups[there], self._times.shape[1]
        sums = [np.bincount(groups, one[there], users) for one in values]
        both = np.stack([*sums, np.bincount(groups, minlength=users)], axis=1)
        blocks = [
            self._times[first : first + _TOGETHER].astype(np.float64) @ both
            for first in range(0, len(self._times), _TOGETHER)
        ]
        drawn = np.concatenate(blocks)
        with np.errstate(invalid="ignore"):
            means = drawn[:, :-1] / drawn[:, -1:]
        return (means * self._shares(len(values))).sum(axis=1)

    def _shares(self, seeds: int) -> np.ndarray:
        """By resample the share of each seed among as many as are drawn: `[resamples, seeds]`."""
        random = np.random.default_rng([self._seed, seeds])  # the same for all models of as many seeds
        return random.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(self._times)) / seeds
