"""Where training ends and evaluation begins: a moment, so that no example is trained on with a label from behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import apache_beam as beam

from preprocessing.config import SplitConfig
from preprocessing.logs.records import day_start, days


class Split(NamedTuple):
    """The times of all searches and the moment that divides them, in epoch milliseconds."""

    first: float  # infinite where there is no search
    last: float
    cut: int  # from here on requests are for evaluation


class SplitByTime(beam.PTransform):
    """Times of searches -> their split."""

    def __init__(self, config: SplitConfig, timezone_offset_h: float) -> None:
        super().__init__()
        self._config = config
        self._offset_ms = round(timezone_offset_h * 3_600_000)

    def expand(self, times: beam.PCollection) -> beam.PCollection:
        span = times | "Span of searches" >> beam.CombineGlobally(FirstAndLast())
        return span | "Cut" >> beam.Map(_split, self._config, self._offset_ms)


class FirstAndLast(beam.CombineFn):
    """The earliest and the latest of some times."""

    def create_accumulator(self) -> tuple[float, float]:
        return math.inf, -math.inf

    def add_input(self, accumulator: tuple[float, float], ts: int) -> tuple[float, float]:
        return min(accumulator[0], ts), max(accumulator[1], ts)

    def merge_accumulators(self, accumulators: Iterable[tuple[float, float]]) -> tuple[float, float]:
        first, last = zip(*accumulators, strict=True)
        return min(first), max(last)

    def extract_output(self, accumulator: tuple[float, float]) -> tuple[float, float]:
        return accumulator


def _split(span: tuple[float, float], config: SplitConfig, offset_ms: int) -> Split:
    first, last = span
    return Split(first, last, cut_of(first, last, config, offset_ms))


def cut_of(first: float, last: float, split: SplitConfig, offset_ms: int) -> int:
    """The moment from which requests are for evaluation."""
    if first > last:
        return 0
    if split.eval_share is not None:
        return math.ceil(last - (last - first) * split.eval_share)
    return day_start(int(last), offset_ms) - days((split.eval_days or 1) - 1)
