"""Raw records: what is read, what is refused, and in which words."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.logs.records import (
    Excluded,
    Item,
    Rejected,
    Search,
    TimeBounds,
    day_start,
    pack,
    parse_action,
    parse_item,
    parse_search,
    parse_time,
    unpack,
)

BOUNDS = TimeBounds.between("2000-01-01", "2100-01-01")
MOMENT = 1_700_000_000_123
ITEM = {"item_id": "i", "title": "Red  sofa", "brand": "b", "shop": "s", "category_leaf": "l", "category_top": "t"}
SEARCH = {"request_id": "r", "ts": MOMENT, "user_id": "u", "query": "sofa", "results": ["a", "b"]}
ACTION = {"ts": MOMENT, "user_id": "u", "item_id": "i", "action": "click"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000.123, MOMENT),
        (MOMENT, MOMENT),
        (str(MOMENT), MOMENT),
        ("1700000000", 1_700_000_000_000),
        ("2023-11-14T22:13:20.123Z", MOMENT),
        ("2023-11-14T23:13:20.123+01:00", MOMENT),
        ("2023-11-14T22:13:20.123", MOMENT),
        ("2023-11-14T22:13:20.123+0000", MOMENT),
        ("2023-11-14", 1_699_920_000_000),
        (datetime.datetime(2023, 11, 14, 22, 13, 20, 123_000), MOMENT),
        (datetime.datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=datetime.UTC), MOMENT),
    ],
)
def test_times(value: Any, expected: int) -> None:
    assert parse_time(value) == expected


@pytest.mark.parametrize("value", ["yesterday", "", True, math.nan, math.inf, [1], {}, "2023-13-01"])
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises(Rejected, match="bad ts"):
        parse_time(value)


def test_a_full_record_of_each_stream() -> None:
    assert parse_item(ITEM) == Item("i", "Red sofa", "b", "s", "l", "t", pytest.approx(math.nan, nan_ok=True), True)
    assert parse_item({**ITEM, "price": 3, "in_stock": False})[-2:] == (3.0, False)
    assert parse_search(SEARCH, BOUNDS, "f") == Search(MOMENT, "r", "u", "sofa", ("a", "b"), "f")
    assert parse_action(ACTION, BOUNDS, "f") == (MOMENT, "u", "i", "click", "", "f")


def test_numbers_are_ids_too_and_a_page_shows_an_item_once() -> None:
    found = parse_search({**SEARCH, "user_id": 7, "request_id": 8, "results": [3, "4", 3]}, BOUNDS, "f")
    assert (found.user_id, found.request_id, found.results) == ("7", "8", ("3", "4"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"item_id": None}, "missing item_id"),
        ({"item_id": "  "}, "missing item_id"),
        ({"item_id": "a\nb"}, "bad item_id"),
        ({"item_id": ["a"]}, "bad item_id"),
        ({"title": None}, "missing title"),
        ({"title": 4}, "bad title"),
        ({"brand": ["b"]}, "bad brand"),
        ({"price": "dear"}, "bad price"),
        ({"in_stock": "yes"}, "bad in_stock"),
    ],
)
def test_what_is_no_item(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        parse_item({**ITEM, **change})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ts": None}, "missing ts"),
        ({"ts": "soon"}, "bad ts"),
        ({"ts": "1999-12-31"}, "ts out of bounds"),
        ({"ts": "2100-01-01"}, "ts out of bounds"),
        ({"user_id": ""}, "missing user_id"),
        ({"request_id": None}, "missing request_id"),
        ({"query": None}, "missing query"),
        ({"query": 3}, "bad query"),
        ({"results": None}, "missing results"),
        ({"results": "a,b"}, "bad results"),
        ({"results": [None]}, "bad results"),
    ],
)
def test_what_is_no_search(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        parse_search({**SEARCH, **change}, BOUNDS, "f")


def test_an_empty_query_is_left_out_by_rule() -> None:
    with pytest.raises(Excluded, match="empty query"):
        parse_search({**SEARCH, "query": " \t"}, BOUNDS, "f")
    assert parse_search({**SEARCH, "query": " \t"}, BOUNDS, "f", keep_empty=True).query == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"action": None}, "missing action"),
        ({"action": "stare"}, "unknown action"),
        ({"item_id": None}, "missing item_id"),
        ({"user_id": None}, "missing user_id"),
        ({"ts": None}, "missing ts"),
        ({"request_id": {"id": 3}}, "bad request_id"),
    ],
)
def test_what_is_no_action(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        parse_action({**ACTION, **change}, BOUNDS, "f")


@given(st.lists(st.tuples(st.integers(), st.text(), st.lists(st.binary()))))
def test_packed_and_back(records: list[tuple]) -> None:
    assert unpack(tuple, pack(records)) == records


@given(st.integers(0, 10**13), st.integers(-14, 14))
def test_a_day_starts_at_most_a_day_before(ts: int, hours: int) -> None:
    start = day_start(ts, hours * 3_600_000)
    assert 0 <= ts - start < 86_400_000
    assert (start + hours * 3_600_000) % 86_400_000 == 0
