"""What changed between two days, each finding with the limit that it is held to."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from preprocessing.between_days.divergence import Drift, drift
from preprocessing.between_days.sample_records import Sample, Words
from preprocessing.config import CompareConfig
from preprocessing.data.state_folder import dotted

_SIGMAS = 3  # of a figure of a sample: more is no chance
_SCHEMA = ("schema_version", "requests_from", "text", "prices", "vector_width", "history", "stages")


class Finding(NamedTuple):
    """One figure of both days."""

    check: str  # the key of its limit in `preprocessing.compare`
    of: str
    change: float
    limit: float
    floor: float  # what of the change sampling alone gives
    before: float | None = None
    now: float | None = None

    @property
    def broken(self) -> bool:
        """Whether the change is past its limit."""
        return self.change > self.limit + self.floor

    @property
    def reach(self) -> float:
        """The change as a share of what it may be."""
        return self.change / (self.limit + self.floor)

    def __str__(self) -> str:
        figures = "" if self.before is None or self.now is None else f" from {self.before:.4g} to {self.now:.4g}:"
        floor = f" beside {self.floor:.3f} of sampling" if self.floor >= 0.0005 else ""
        return (
            f"{self.of}:{figures} {self.check.partition('.')[0]} {self.change:.3f}, of which "
            f"preprocessing.compare.{self.check} allows {self.limit:g}{floor}"
        )


def unlike(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two specs do not share, a line each; where there is any, their records cannot be compared."""
    was, became = dict(dotted(_schema(before))), dict(dotted(_schema(now)))
    return [
        f"{key} was {was.get(key, 'not there')}, now {became.get(key, 'not there')}"
        for key in was | became
        if was.get(key) != became.get(key)
    ]


def _schema(spec: Mapping[str, Any]) -> dict[str, Any]:
    features = {kind: {one["name"]: _described(one) for one in spec[kind]} for kind in ("requests", "catalog")}
    buckets = {name: {"hash_buckets": one["hash_buckets"]} for name, one in spec["vocabularies"].items()}
    return {**{name: spec.get(name) for name in _SCHEMA}, **features, "vocabularies": buckets}


def _described(feature: Mapping[str, Any]) -> str:
    kind = ("a", "a list of", "a list of lists of")[feature["rank"]]
    width = f" x {feature['width']}" if feature["width"] else ""
    return f"{kind} {feature['dtype']}{width}"


def of_stats(before: Mapping[str, Any], now: Mapping[str, Any], limits: CompareConfig) -> Iterator[Finding]:
    """Of the accounts of both days, which are whole: `stats.json`."""
    for split in before["examples"]:
        yield _count(f"{split} requests", before["examples"][split], now["examples"][split], limits)
    yield _count("live items", before["items"], now["items"], limits)
    for name in (one for one in before["streams"] if one in now["streams"]):
        was, is_now = before["streams"][name], now["streams"][name]
        lines = (was["in"], is_now["in"])
        if not all(lines):
            continue
        if name != "catalog":  # of which a day may bring what has changed alone
            yield _count(f"raw {name}", *lines, limits)
        rejected = tuple(sum(one["rejected"].values()) for one in (was, is_now))
        yield _share("shares", f"raw {name} rejected", rejected, lines, limits.shares)
        for field in was["empty_share"]:
            empty = tuple(one["empty_share"].get(field, 0.0) * one["in"] for one in (was, is_now))
            yield _share("empty", f"raw {name} {field}", empty, lines, limits.empty)
    acted = tuple(sum(one["attribution"].values()) for one in (before, now))
    for how in before["attribution"] if all(acted) else ():
        found = (before["attribution"][how], now["attribution"][how])
        yield _share("shares", f"actions that {how}", found, acted, limits.shares)


def of_records(
    split: str, before: Sample, now: Sample, limits: CompareConfig, passed_over: Collection[str]
) -> Iterator[Finding]:
    """Of samples of a split: what is empty, and how long lists are, but for some."""
    users = (before.users, now.users)  # one user's records are alike, so they count as one
    for name in now.empty:
        if name not in passed_over:
            empty = tuple(one.empty[name] * one.users for one in (before, now))
            yield _share("empty", f"{split} {name}", empty, users, limits.empty)
    for name, lengths in now.lengths.items():
        if name not in passed_over:
            yield _length(f"{split} {name}", before.lengths[name], lengths, users, limits.lengths)


def of_vocabularies(
    split: str, days: tuple[Sample, Sample], words: tuple[dict[str, Words], dict[str, Words]], limits: CompareConfig
) -> Iterator[Finding]:
    """By use: what vocabularies do not know, what is new in them, and what is gone."""
    users = (days[0].users, days[1].users)
    for name in days[1].uses:
        uses, (before, now) = [day.uses[name] for day in days], (one[name] for one in words)
        unknown = [_part(one[1:], slice(before.first - 1)) for one in uses]
        amounts = (unknown[0] * users[0], unknown[1] * users[1])
        yield _share("shares", f"{split} {name} unknown", amounts, users, limits.shares)
        known = [one.labels.slice(one.first) for one in (before, now)]
        new, gone = (
            _part(uses[day][before.first :], ~pc.is_in(known[day], known[1 - day]).to_numpy(zero_copy_only=False))
            for day in (1, 0)
        )
        yield Finding("new", f"{split} {name}", new, limits.new, 0.0)
        yield Finding("gone", f"{split} {name}", gone, limits.gone, 0.0)


def of_drift(split: str, before: Sample, now: Sample, limits: CompareConfig, seed: int) -> Iterator[Finding]:
    """How far apart the distributions of samples are."""
    for name in now.values:
        found: Drift = drift(before.values[name], now.values[name], seed)
        yield Finding(f"drift.{name}", f"{split} {name}", found.bits, getattr(limits.drift, name), found.floor)


def _part(uses: np.ndarray, chosen: Any) -> float:
    return float(uses[chosen].sum() / max(uses.sum(), 1))


def _count(of: str, before: int, now: int, limits: CompareConfig) -> Finding:
    low, high = sorted((before + 1, now + 1))  # so that a few where there were none are no flood
    floor = limits.counts * math.expm1(_SIGMAS * math.sqrt(1 / low + 1 / high))
    return Finding("counts", of, high / low, limits.counts, floor, before, now)


def _share(check: str, of: str, found: Collection[float], whole: Collection[float], limit: float) -> Finding:
    before, now = (one / of_all for one, of_all in zip(found, whole, strict=True))
    both = sum(found) / sum(whole)
    floor = _SIGMAS * math.sqrt(both * (1 - both) * sum(1 / one for one in whole))
    return Finding(check, of, abs(now - before), limit, floor, before, now)


def _length(of: str, before: np.ndarray, now: np.ndarray, users: tuple[int, int], limit: float) -> Finding:
    means = (float(before.mean()), float(now.mean()))
    longer = max(*means, 1e-9)
    spread = math.sqrt(before.var() / users[0] + now.var() / users[1])
    change = abs(means[1] - means[0]) / longer
    return Finding("lengths", of, change, limit, _SIGMAS * spread / longer, *means)
