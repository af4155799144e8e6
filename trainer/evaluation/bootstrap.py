"""How sure a mean is: bootstrap over users, since one user's requests are not independent of each other."""

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
    """Resamples of the same users for every figure, so that differences are paired."""

    def __init__(self, owners: np.ndarray, seed: int, resamples: int = RESAMPLES) -> None:
        _, self._groups = np.unique(owners, return_inverse=True)
        count = int(self._groups.max()) + 1 if len(self._groups) else 0
        random = np.random.default_rng(seed)
        self._times = np.zeros([resamples, count], np.uint8)  # how often each user was drawn
        for drawn in self._times if count else ():
            drawn += np.minimum(np.bincount(random.integers(0, count, count), minlength=count), 255).astype(np.uint8)

    def estimate(self, values: np.ndarray) -> Estimate | None:
        """The mean of values `[n]` without their nans; None if nothing is left."""
        there = ~np.isnan(values)
        if not there.any():
            return None
        users = self._times.shape[1]
        both = np.stack(
            [np.bincount(self._groups[there], values[there], users), np.bincount(self._groups[there], minlength=users)],
            axis=1,
        )
        drawn = [
            self._times[first : first + _TOGETHER].astype(np.float64) @ both
            for first in range(0, len(self._times), _TOGETHER)
        ]
        sums, counts = np.concatenate(drawn).T
        low, high = np.percentile(sums[counts > 0] / counts[counts > 0], [2.5, 97.5])
        return Estimate(float(values[there].mean()), float(low), float(high), int(there.sum()))
