"""Where training ends, and validation: two moments, so that no example has a label from behind the next of them.

The moments are counted back from the end of the log, and one clock that is years ahead is not the end of the log: a
time further from the bulk of all times than that bulk is long is stray, and moves nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import apache_beam as beam

from preprocessing.config import SplitConfig
from preprocessing.logs.parse import HourOfTimes
from preprocessing.logs.records import day_start, days

_TRIMMED = 0.01  # of the times at either end; what lies between is the bulk
_VALIDATION_SHARE = 0.1
_LEAST_REACH = days(60)  # of the bulk: a test set may be dated a month behind its training set
Hours = dict[int, tuple[int, int, int]]  # by the hour: how many times, the first and the last


TRAIN, VALIDATION, EVAL = "train", "validation", "eval"


class Cuts(NamedTuple):
    """The moments from which requests are for validation, and for evaluation, in epoch milliseconds."""

    validation: int
    eval: int

    def split_of(self, ts: int) -> str:
        """What a request at `ts` is for."""
        return TRAIN if ts < self.validation else VALIDATION if ts < self.eval else EVAL

    def end_of(self, ts: int) -> float:
        """The moment before which the labels of a request at `ts` must lie."""
        return self.validation if ts < self.validation else self.eval if ts < self.eval else math.inf


class Split(NamedTuple):
    """The span of the log's searches and the moments that divide them, in epoch milliseconds."""

    first: int
    last: int
    cuts: Cuts
    stray: int  # searches whose times lie far outside the span


class SplitByTime(beam.PTransform):
    """Hours of the times of searches -> their split."""

    def __init__(self, config: SplitConfig, timezone_offset_h: float) -> None:
        super().__init__()
        self._config = config
        self._offset_ms = round(timezone_offset_h * 3_600_000)

    def expand(self, times: beam.PCollection) -> beam.PCollection:
        hours = times | "Times by the hour" >> beam.CombineGlobally(MergeHours())
        return hours | "Cut" >> beam.Map(split_of, self._config, self._offset_ms)


class MergeHours(beam.CombineFn):
    """The times of many workers by the hour: exact, and small for a log of any size."""

    def create_accumulator(self) -> Hours:
        return {}

    def add_input(self, accumulator: Hours, element: HourOfTimes) -> Hours:
        hour, (count, first, last) = element
        known = accumulator.get(hour, (0, first, last))
        accumulator[hour] = known[0] + count, min(known[1], first), max(known[2], last)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Hours]) -> Hours:
        merged: Hours = {}
        for accumulator in accumulators:
            for element in accumulator.items():
                self.add_input(merged, element)
        return merged

    def extract_output(self, accumulator: Hours) -> Hours:
        return accumulator


def split_of(hours: Mapping[int, tuple[int, int, int]], config: SplitConfig, offset_ms: int) -> Split:
    """The split of a log whose searches lie in these hours."""
    if not hours:
        return Split(0, 0, Cuts(0, 0), 0)
    earliest, latest = reach(hours)
    within = [(first, last) for _, first, last in hours.values() if earliest <= first and last <= latest]
    kept = sum(count for count, first, last in hours.values() if earliest <= first and last <= latest)
    first, last = min(first for first, _ in within), max(last for _, last in within)
    cut = eval_cut(first, last, config, offset_ms)
    before = max((min(last, cut - 1) for first, last in within if first < cut), default=first)
    cuts = Cuts(min(cut, validation_cut(first, before, config, offset_ms)), cut)
    return Split(first, last, cuts, sum(one[0] for one in hours.values()) - kept)


def reach(hours: Mapping[int, tuple[int, int, int]]) -> tuple[int, int]:
    """How far from the bulk of the times a time may lie, on both sides."""
    ordered = [hours[hour] for hour in sorted(hours)]
    total = sum(count for count, _, _ in ordered)
    trimmed = math.ceil(total * _TRIMMED) if total > 2 else 0
    low = ordered[_hour_of(trimmed, [count for count, _, _ in ordered])][1]
    high = ordered[_hour_of(total - 1 - trimmed, [count for count, _, _ in ordered])][2]
    width = max(high - low, _LEAST_REACH)
    return low - width, high + width


def _hour_of(rank: int, counts: Iterable[int]) -> int:
    """Which hour holds the time that comes behind `rank` others."""
    return next(place for place, seen in enumerate(itertools.accumulate(counts)) if seen > rank)


def eval_cut(first: int, last: int, split: SplitConfig, offset_ms: int) -> int:
    """The moment from which requests are for evaluation, in a log of this span."""
    return _cut(first, last, split.eval_days, split.eval_share, offset_ms)


def validation_cut(first: int, last: int, split: SplitConfig, offset_ms: int) -> int:
    """The moment from which requests are for validation, in what is before evaluation: there a log may have a gap."""
    share = split.validation_share
    if share is None and split.validation_days is None and split.eval_share is not None:
        share = _VALIDATION_SHARE
    return _cut(first, last, split.validation_days, share, offset_ms)


def _cut(first: int, last: int, count: int | None, share: float | None, offset_ms: int) -> int:
    """Where the last share of a span begins, or else its last days: one where nothing is said."""
    if share is not None:
        return math.ceil(last - (last - first) * share)
    return day_start(last, offset_ms) - days((count or 1) - 1)
