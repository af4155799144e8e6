"""How far two samples are apart: the Jensen-Shannon divergence, and what of it sampling alone gives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

_SPLITS = 20  # of both samples together, at random


class Values(NamedTuple):
    """What some records hold of one kind, such as queries."""

    strings: pa.Array  # [values]
    owners: np.ndarray  # int64 [values], whose they are: one user's are alike


class Shares(NamedTuple):
    """Each value's share of two samples."""

    values: list[bytes]  # [distinct], of both
    before: np.ndarray  # float64 [distinct], sums to one
    now: np.ndarray


class Drift(NamedTuple):
    """How far apart they are, in bits: 0 for equal shares, 1 where no value is in both."""

    bits: float
    floor: float  # the most that random splits of both together gave


def shares(before: Values, now: Values) -> Shares:
    """Of all values of both."""
    values, ids = _numbered(before, now)
    sides = np.arange(len(ids)) >= len(before.strings)
    return Shares(values.to_pylist(), *_histograms(ids, sides, len(values)))


def drift(before: Values, now: Values, seed: int) -> Drift:
    """The divergence and its floor.

    A long tail makes two samples of one distribution differ, the more the smaller they are. So both are put together
    and divided at random, whole users at a time: what comes of that is no change.
    """
    values, ids = _numbered(before, now)
    owners = np.concatenate([_numbers(before.owners), _numbers(now.owners)])
    ours = len(before.strings)
    owners[ours:] += owners[:ours].max(initial=-1) + 1  # a user of both days is two
    day = np.zeros(owners.max(initial=-1) + 1, bool)
    day[owners[ours:]] = True
    random = np.random.default_rng(seed)
    splits = (random.permutation(day)[owners] for _ in range(_SPLITS))
    floor = max(jensen_shannon(*_histograms(ids, split, len(values))) for split in splits)
    return Drift(jensen_shannon(*_histograms(ids, day[owners], len(values))), floor)


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """The divergence of two distributions in bits; by hand, because nothing else here needs SciPy.

    >>> jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    1.0
    """
    return max(_entropy((first + second) / 2) - (_entropy(first) + _entropy(second)) / 2, 0.0)


def _entropy(shares: np.ndarray) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())


def _numbered(before: Values, now: Values) -> tuple[pa.Array, np.ndarray]:
    """The distinct values, and the number of each value of both samples, one after the other."""
    both = pa.chunked_array([before.strings, now.strings]).combine_chunks().dictionary_encode()
    return both.dictionary, both.indices.to_numpy(zero_copy_only=False)


def _numbers(owners: np.ndarray) -> np.ndarray:
    return np.unique(owners, return_inverse=True)[1]


def _histograms(ids: np.ndarray, sides: np.ndarray, distinct: int) -> tuple[np.ndarray, np.ndarray]:
    both = (ids[~sides], ids[sides])
    first, second = (np.bincount(one, minlength=distinct) / max(len(one), 1) for one in both)
    return first, second
