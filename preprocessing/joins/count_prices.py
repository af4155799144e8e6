"""The median price of each leaf and top category, from histograms: exact to a percent, and small for any catalogue."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Mapping

import apache_beam as beam

from preprocessing.data.features import PRICE
from preprocessing.logs.records import Item
from preprocessing.text.price_levels import ALL, LEAF, SEPARATOR, TOP

_STEPS = 100  # of a histogram, for each factor of e
Histogram = Mapping[int, int]  # rounded logarithms of prices in steps: how many


class CountPrices(beam.PTransform):
    """(level, histogram) of all partitions -> ("price", the lines of the table of medians)."""

    def __init__(self, least: int) -> None:
        super().__init__()
        self._least = least

    def expand(self, histograms: beam.PCollection) -> beam.PCollection:
        return (
            histograms
            | "Sum prices" >> beam.CombinePerKey(_summed)
            | "Medians" >> beam.FlatMap(_line, self._least)
            | "All medians" >> beam.combiners.ToList()
            | "Price table" >> beam.Map(_table)
        )


def price_histograms(items: Iterable[Item]) -> dict[str, Histogram]:
    """By level: each leaf, each top category, and all."""
    found: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for item in items:
        if 0 < item.price < math.inf:
            step = round(math.log(item.price) * _STEPS)
            for level in (LEAF + item.leaf, TOP + item.top, ALL):
                found[level][step] += 1
    return dict(found)


def median(histogram: Histogram) -> float:
    """The lower median of logarithms of prices.

    >>> median({100: 1, 200: 1, 700: 1})
    2.0
    """
    wanted, seen = (sum(histogram.values()) + 1) // 2, 0
    for step in sorted(histogram):
        seen += histogram[step]
        if seen >= wanted:
            return step / _STEPS
    raise ValueError("no price")


def _summed(histograms: Iterable[Histogram]) -> Histogram:
    total: collections.Counter[int] = collections.Counter()
    for one in histograms:
        total.update(one)
    return dict(total)


def _line(counted: tuple[str, Histogram], least: int) -> Iterable[str]:
    level, histogram = counted
    if level == ALL or (level not in (LEAF, TOP) and sum(histogram.values()) >= least):
        yield f"{level}{SEPARATOR}{median(histogram)}"


def _table(lines: Iterable[str]) -> tuple[str, list[str]]:
    return PRICE, sorted(lines) or [f"{ALL}{SEPARATOR}0.0"]  # of a catalogue without a price nobody asks for it
