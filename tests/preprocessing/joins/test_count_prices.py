"""Median prices by leaf, by top category, and of all."""

from __future__ import annotations

import math
import random
import statistics

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.command.runners import beam_options, runner_of
from preprocessing.joins.count_prices import CountPrices, median, price_histograms
from preprocessing.logs.records import Item


def item(price: float, leaf: str = "shoes", top: str = "sports") -> Item:
    return Item("i", leaf=leaf, top=top, price=price)


def test_levels_of_few_prices_and_without_a_name_have_no_line() -> None:
    items = [
        *(item(math.e**2) for _ in range(3)),
        item(math.e, "hats"),
        item(math.e**3, "", ""),
        item(math.nan, "hats"),
    ]
    parts = [price_histograms(part) for part in (items[:2], items[2:])]
    options = beam_options([], [], 0)
    with beam.Pipeline(runner=runner_of(options), options=options) as pipeline:
        histograms = pipeline | beam.Create([one for part in parts for one in part.items()])
        expected = [("price", ["all\t2.0", "leaf/shoes\t2.0", "top/sports\t2.0"])]
        assert_that(histograms | CountPrices(least=3), equal_to(expected))


def test_a_catalogue_without_a_price_has_a_table_too() -> None:
    options = beam_options([], [], 0)
    with beam.Pipeline(runner=runner_of(options), options=options) as pipeline:
        nothing = pipeline | beam.Create(list(price_histograms([item(0.0), item(-1.0), item(math.inf)]).items()))
        assert_that(nothing | CountPrices(least=1), equal_to([("price", ["all\t0.0"])]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=50), st.randoms())
def test_the_median_is_that_of_the_prices_to_a_percent(prices: list[float], shuffle: random.Random) -> None:
    shuffle.shuffle(prices)
    found = median(price_histograms(map(item, prices))["all"])
    assert abs(found - math.log(statistics.median_low(prices))) <= 0.005 + 1e-9
