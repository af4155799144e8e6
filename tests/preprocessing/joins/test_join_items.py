"""Several records of one item: the newest counts."""

from __future__ import annotations

import collections
import itertools

import pytest

from preprocessing.joins.join_items import newest
from preprocessing.logs.records import UNKNOWN_TIME, Item


def item(title: str, updated_at: int = UNKNOWN_TIME, source: str = "", place: int = 0, in_stock: bool = True) -> Item:
    return Item("i", title, updated_at=updated_at, source=source, place=place, in_stock=in_stock)


@pytest.mark.parametrize(
    "records",
    [
        [item("new", 200, "catalog-1", 0), item("old", 100, "catalog-2", 9)],  # its own time, whatever the file
        [item("new", 100, "catalog-1"), item("old", source="catalog-2")],  # one without a time is older than any with
        [item("new", source="catalog-2024-05-02", place=0), item("old", source="catalog-2024-05-01", place=7)],
        [item("new", source="catalog", place=8), item("old", source="catalog", place=7)],
        [item("new", 100, "catalog-2"), item("old", 100, "catalog-1")],
        [item("new", 300), item("old", 100), item("old", 200)],
    ],
)
def test_the_newest_record_counts_in_any_order(records: list[Item]) -> None:
    for order in itertools.permutations(records):
        counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        assert [one.title for one in newest(order, counts)] == ["new"]
        assert counts["catalog", "excluded", "duplicate"] == len(records) - 1
        assert counts["catalog", "used"] == 1


def test_an_item_that_comes_back_into_stock_stays_in_the_catalogue() -> None:
    gone, back = item("t", source="day-1", in_stock=False), item("t", source="day-2")
    counts: collections.Counter[tuple[str, ...]] = collections.Counter()
    assert [one.in_stock for one in newest([back, gone], counts)] == [True]
    assert [one.in_stock for one in newest([item("t", 1), item("t", 2, in_stock=False)], counts)] == [False]
    assert counts["catalog", "excluded", "out of stock"] == 1
