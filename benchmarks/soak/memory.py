"""Whether a process's memory is flat."""

from __future__ import annotations

import collections
import itertools
import statistics
from collections.abc import Sequence
from typing import NamedTuple

_WARM_UP = 1 / 3  # of the samples: caches fill, the allocator learns how much two versions take
_LEAST = 6  # samples behind the warm-up, below which nothing is said
_FLAT = 0.05


class Memory(NamedTuple):
    """What a series of samples says."""

    mib: list[float]
    mib_a_sample: float | None  # the trend behind the warm-up; none where the series is too short
    growth: float | None  # all along the samples behind the warm-up, as a share of their median
    flat: bool | None


def judged(samples: Sequence[float]) -> Memory:
    """Flat is a trend that adds less than 5 % from the end of the warm-up to the last sample.

    The warm-up is the first third. The trend is the median of the slopes between all pairs of samples behind it
    (Theil and Sen's), so neither one odd sample at an end makes a leak nor hides one: of a server that keeps a
    constant amount of each version, all slopes are that amount.
    """
    mib = [round(one, 1) for one in samples]
    kept = list(enumerate(samples))[int(len(samples) * _WARM_UP) :]
    if len(kept) < _LEAST:
        return Memory(mib, None, None, None)
    slope = statistics.median((b - a) / (j - i) for (i, a), (j, b) in itertools.combinations(kept, 2))
    growth = slope * (len(kept) - 1) / statistics.median(one for _, one in kept)
    return Memory(mib, round(slope, 2), round(growth, 4), growth < _FLAT)


class Samples:
    """Resident memory while something lasts, one figure each: the median."""

    def __init__(self) -> None:
        self._found: dict[int, list[float]] = collections.defaultdict(list)

    def add(self, during: int, resident: int) -> None:
        """Takes a measure in bytes in."""
        self._found[during].append(resident / (1 << 20))

    def memory(self) -> Memory:
        """The judgment over what lasted, in order."""
        return judged([statistics.median(self._found[one]) for one in sorted(self._found)])
