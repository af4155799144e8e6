"""Raw records: what is read, what is refused, and in which words."""

from __future__ import annotations

import datetime
import decimal
import math
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.logs import values
from preprocessing.logs.records import (
    Excluded,
    Item,
    Rejected,
    Search,
    TimeBounds,
    day_start,
    parse_action,
    parse_item,
    parse_search,
    parse_time,
)
from preprocessing.shuffle.packing import pack, unpack

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
        (1_700_000_000_123_456, MOMENT),  # microseconds
        (1_700_000_000_123_456_789, MOMENT),  # nanoseconds
        ("1700000000123456", MOMENT),
        (decimal.Decimal("1700000000.123"), MOMENT),
        ("2023-11-14 22:13:20.123 UTC", MOMENT),  # as BigQuery writes it
        ("2023-11-14 22:13:20.123456 UTC", MOMENT),
        (b" 2023-11-14T22:13:20.123Z ", MOMENT),
        (datetime.date(2023, 11, 14), 1_699_920_000_000),
    ],
)
def test_times(value: Any, expected: int) -> None:
    assert parse_time(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        True,
        math.nan,
        math.inf,
        [1],
        {},
        "2023-13-01",
        "nan",
        "1e400",
        "1e999999999",
        10**400,
        "\ud800",
        b"\xff",
    ],
)
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises(Rejected, match="bad ts"):
        parse_time(value)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_time_at_all(value: Any) -> None:
    with pytest.raises(Rejected, match="missing ts"):
        parse_time(value)


def test_a_full_record_of_each_stream() -> None:
    assert parse_item(ITEM) == Item("i", "Red sofa", "b", "s", "l", "t", pytest.approx(math.nan, nan_ok=True), True)
    item = parse_item({**ITEM, "price": 3, "in_stock": False, "updated_at": "2023-11-14T22:13:20.123Z"}, "f", 7)
    assert item[6:] == (3.0, False, MOMENT, "", "f", 7, b"")
    assert parse_search(SEARCH, BOUNDS, "f") == Search(MOMENT, "r", "u", "sofa", ("a", "b"), "f")
    assert parse_action(ACTION, BOUNDS, "f") == (MOMENT, "u", "i", "click", "", "f")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Solid oak,\nfor four.", "Solid oak, for"),
        ("\u7ea2\u8272\u978b\u5b50", "\u7ea2\u8272\u978b"),
        ("size-10 \u978b", "size-10 \u978b"),
        ("--", ""),
        (None, ""),
    ],
)
def test_a_description_is_cut_to_words(text: str | None, kept: str) -> None:
    assert parse_item({**ITEM, "description": text}, described=3).description == kept
    assert parse_item({**ITEM, "description": text}).description == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        (" a ", "a"),
        (b" a ", "a"),
        (7, "7"),
        (7.0, "7"),  # what pandas makes of a column of ids with a gap
        (decimal.Decimal("7.00"), "7"),
        ("", None),
        ("  ", None),
        (None, None),
        (True, "bad"),
        (7.5, "bad"),
        (math.nan, "bad"),
        (math.inf, "bad"),
        (1e300, "bad"),
        (decimal.Decimal("1E+999999999"), "bad"),
        ("b\nc", "bad"),
        ("b\rc", "bad"),
        (b"\xff", "bad"),
        ("\ud800", "bad"),
        (["a"], "bad"),
        ({"id": "a"}, "bad"),
    ],
)
def test_one_rule_for_ids_wherever_they_stand(value: Any, expected: str | None) -> None:
    def read(record: dict[str, Any], parse: Callable[..., Any], name: str, *more: Any) -> Any:
        try:
            return getattr(parse({**record, name: value}, *more), name)
        except Rejected as reason:
            return str(reason)

    for record, parse, more, names in (
        (ITEM, parse_item, (), ["item_id"]),
        (SEARCH, parse_search, (BOUNDS, "f"), ["request_id", "user_id"]),
        (ACTION, parse_action, (BOUNDS, "f"), ["user_id", "item_id"]),
    ):
        for name in names:
            wanted = f"bad {name}" if expected == "bad" else expected or f"missing {name}"
            assert read(record, parse, name, *more) == wanted
    value = [value]
    wanted = "bad results" if expected in ("bad", None) else (expected,)
    assert read(SEARCH, parse_search, "results", BOUNDS, "f") == wanted


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("price", "12.50", "price", 12.5),
        ("price", decimal.Decimal("12.50"), "price", 12.5),
        ("price", b"12.50", "price", 12.5),
        ("in_stock", 0, "in_stock", False),
        ("in_stock", "False", "in_stock", False),
        ("in_stock", "no", "in_stock", False),
        ("in_stock", "", "in_stock", True),
        ("brand", 7, "brand", "7"),
        ("brand", b" A  b", "brand", "A b"),
        ("updated_at", datetime.date(2023, 11, 14), "updated_at", 1_699_920_000_000),
    ],
)
def test_optional_values_in_the_forms_that_logs_write(name: str, value: Any, field: str, expected: Any) -> None:
    ignored: list[str] = []
    assert getattr(parse_item({**ITEM, name: value}, ignored=ignored), field) == expected
    assert ignored == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("brand", ["b"]),
        ("shop", True),
        ("category_leaf", {"a": 1}),
        ("category_top", "\ud800"),
        ("price", "dear"),
        ("price", 1e39),
        ("price", 10**400),
        ("price", decimal.Decimal("sNaN")),
        ("in_stock", "maybe"),
        ("in_stock", [True]),
        ("updated_at", "yesterday"),
    ],
)
def test_an_optional_value_that_cannot_be_read_is_ignored_and_told(name: str, value: Any) -> None:
    ignored: list[str] = []
    found, without = parse_item({**ITEM, name: value}, ignored=ignored), parse_item({**ITEM, name: None})
    assert repr(found) == repr(without)
    assert ignored == [name]


def test_an_action_whose_request_cannot_be_read_still_counts() -> None:
    ignored: list[str] = []
    found = parse_action({**ACTION, "request_id": {"id": 3}}, BOUNDS, "f", ignored)
    assert (found.request_id, ignored) == ("", ["request_id"])


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
        ({"vector": [1.0, 2.0]}, "bad vector"),
        ({"vector": [1.0, 2.0, 3.0, 4.0]}, "bad vector"),
        ({"vector": [1.0, 2.0, "three"]}, "bad vector"),
        ({"vector": [1.0, 2.0, None]}, "bad vector"),
        ({"vector": [1.0, 2.0, math.nan]}, "bad vector"),
        ({"vector": [1.0, 2.0, math.inf]}, "bad vector"),
        ({"vector": [1.0, 2.0, 1e300]}, "bad vector"),
        ({"vector": "1 2 3"}, "bad vector"),
    ],
)
def test_what_is_no_item(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        parse_item({**ITEM, **change}, vector_width=3)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_a_vector_is_kept_as_float32(numbers: list[float]) -> None:
    packed = parse_item({**ITEM, "vector": numbers}, vector_width=len(numbers)).vector
    assert struct.unpack(f"<{len(numbers)}f", packed) == tuple(numbers)


def test_a_vector_may_be_missing_and_without_a_width_is_not_read() -> None:
    for nothing in ({}, {"vector": None}, {"vector": []}):
        assert parse_item({**ITEM, **nothing}, vector_width=3).vector == b""
    assert parse_item({**ITEM, "vector": "of anything"}).vector == b""
    assert parse_item({**ITEM, "vector": (1, 2, 3)}, vector_width=3).vector == struct.pack("<3f", 1, 2, 3)


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


@given(
    st.lists(st.one_of(st.text(max_size=3), st.sampled_from(["a", "b2", " a", "b\n", "", "\x1f", 5, None, True, b"x"])))
)
def test_ids_are_read_as_one_by_one(raw: list[Any]) -> None:
    def read(them: Callable[[], list[str | None]]) -> list[str | None] | str:
        try:
            return them()
        except values.UNREADABLE as error:
            return str(error)

    assert read(lambda: values.identifiers(raw)) == read(lambda: [values.identifier(one) for one in raw])
