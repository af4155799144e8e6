"""Lists of several shards and of both channels as one answer, as a model that holds all items gives it."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

VECTOR, WORDS, BOTH = 1, 2, 3  # channels that find items


class Rule(NamedTuple):
    """How two lists are fused, as a `shards.json` says."""

    by: str  # "ranks" or "scores"
    constant: float  # of ranks: w / (constant + rank)
    depth: int  # of both lists, however few items are asked for
    weights: tuple[tuple[float, float], ...]  # of each kind of query: the vectors', the words'

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Rule:
        """From the file's object; `KeyError`, `TypeError` or `ValueError` where it is none."""
        by = str(content["by"])
        if by not in ("ranks", "scores"):
            raise ValueError(by)
        weights = tuple((float(vector), float(words)) for vector, words in content["weights"])
        return cls(by, float(content["constant"]), int(content["depth"]), weights)


class Listed(NamedTuple):
    """An item in a list."""

    score: float
    place: int  # in the whole catalogue: of equal scores the lower comes first
    item_id: str


class Fused(NamedTuple):
    """An item of the answer."""

    item_id: str
    score: float
    channels: int


def merged(lists: Iterable[Iterable[Listed]], depth: int) -> list[Listed]:
    """The best of one channel's lists."""
    return sorted((one for part in lists for one in part), key=lambda one: (-one.score, one.place))[:depth]


def fuse(rule: Rule, vector: Sequence[Listed], words: Sequence[Listed], kind: int, k: int) -> list[Fused]:
    """The k best of both channels' merged lists for a query of a kind, best first.

    Of equal scores those come first that the vectors found, by their rank there, then the words', by theirs.
    """
    depth = max(k, rule.depth)
    totals: dict[str, float] = {}
    channels: dict[str, int] = {}
    parts = ((vector, VECTOR, False), (words, WORDS, True))
    for (listed, channel, from_zero), weight in zip(parts, rule.weights[kind], strict=True):
        if weight > 0:
            kept = listed[:depth]
            for one, gain in zip(kept, _gains(rule, kept, depth, from_zero), strict=True):
                totals[one.item_id] = totals.get(one.item_id, 0.0) + gain * weight
                channels[one.item_id] = channels.get(one.item_id, 0) + channel
    best = sorted(totals, key=lambda item_id: -totals[item_id])[:k]
    return [Fused(one, _as_float32(totals[one]), channels[one]) for one in best]


def _gains(rule: Rule, listed: Sequence[Listed], depth: int, from_zero: bool) -> list[float]:
    """What each place of a list is worth at full weight."""
    if rule.by == "ranks":
        return [1 / (rule.constant + 1 + place) for place in range(len(listed))]
    scores = [one.score for one in listed]
    last = 0.0 if from_zero and len(scores) < depth else min(scores, default=math.inf)
    span = max(scores, default=-math.inf) - last
    return [(score - last) / span if span > 0 else 1.0 for score in scores]


def _as_float32(number: float) -> float:
    return struct.unpack("<f", struct.pack("<f", number))[0]
