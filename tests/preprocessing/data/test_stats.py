"""Statistics by hand."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from preprocessing.data.stats import empty_shares, head_and_tail, print_table, quantiles, summarise, too_many_rejected

COUNTED = {
    "cuts": [3_600_000, 86_400_000],
    "times": [0, 90_000_000],
    "stray": 0,
    "counts": [
        ["actions", "in", 10],
        ["actions", "rejected", "unknown item", 2],
        ["actions", "rejected", "bad ts", 1],
        ["actions", "used", 7],
        ["actions", "filled", "ts", 10],
        ["actions", "filled", "item_id", 9],
        ["actions", "ignored", "bad request_id", 1],
        ["searches", "in", 3],
        ["searches", "used", 2],
        ["searches", "excluded", "no positive", 1],
        ["examples", "train", 2],
        ["attribution", "named its request", 6],
        ["attribution", "history alone", 2],
        ["items", 5],
        ["length", "short", "0", 1],
        ["length", "short", "4", 1],
        ["frequency", "query", "1", 9],
        ["frequency", "query", "11", 1],
    ],
}


def test_quantiles() -> None:
    assert quantiles({1: 3, 5: 1}) == {"mean": 2.0, "p50": 1, "p90": 5, "p99": 5, "p100": 5}


def test_head_and_tail() -> None:
    shares = head_and_tail({1: 99, 101: 1})
    assert (shares["distinct"], shares["occurrences"]) == (100, 200)
    assert (shares["top_1_percent_share"], shares["top_10_percent_share"], shares["once_share"]) == (0.505, 0.55, 0.495)


def test_a_share_of_one_means_every_record() -> None:
    assert empty_shares("searches", 1_000_000, {"query": 1})["query"] == 0.9999
    assert empty_shares("searches", 1_000_000, {})["query"] == 1.0
    assert empty_shares("ubi", 10, {}) == {}


@pytest.mark.parametrize("events", ["ubi", "ga4"])
def test_of_what_events_hold_no_field_is_called_empty(events: str) -> None:
    stats = summarise({**COUNTED, "counts": [*COUNTED["counts"], [events, "in", 13], ["catalog", "in", 1]]}, {})
    assert stats["streams"]["actions"]["empty_share"] == stats["streams"]["searches"]["empty_share"] == {}
    assert stats["streams"]["catalog"]["empty_share"]["title"] == 1.0
    print_table(stats, Console(file=io.StringIO()))


def test_summary_and_table() -> None:
    stats = summarise(COUNTED, {"word": 3})
    assert stats["streams"]["actions"] == {
        "in": 10,
        "used": 7,
        "rejected": {"unknown item": 2, "bad ts": 1},
        "excluded": {},
        "ignored": {"bad request_id": 1},
        "empty_share": {"ts": 0.0, "user_id": 1.0, "item_id": 0.1, "action": 1.0, "request_id": 1.0},
    }
    assert stats["examples"] == {"train": 2, "validation": 0, "eval": 0}
    assert stats["attribution"] == {"named its request": 6, "fell back on a page": 0, "history alone": 2}
    assert stats["items"] == 5
    assert stats["searches_from_to"] == ["1970-01-01T00:00:00.000+00:00", "1970-01-02T01:00:00.000+00:00"]
    assert stats["validation_from"] == "1970-01-01T01:00:00.000+00:00"
    assert stats["eval_from"] == "1970-01-02T00:00:00.000+00:00"
    assert stats["lengths"]["short"]["mean"] == 2
    assert stats["frequency"]["query"]["top_10_percent_share"] == 0.55
    printed = io.StringIO()
    print_table(stats, Console(file=printed, width=200))
    for told in (
        "unknown item 2",
        "no positive 1",
        "2 train, 0 validation (from 1970-01-01T01",
        "word 3",
        "user_id 100.0%",
        "bad request_id 1",
        "75% named its",
    ):
        assert told in printed.getvalue()


def test_too_many_rejected_names_the_stream_and_the_reason() -> None:
    stats = summarise(COUNTED, {})
    assert too_many_rejected(stats, 0.3) is None
    message = too_many_rejected(stats, 0.29)
    assert message is not None
    assert "actions: 3 of 10" in message
    assert "'unknown item'" in message
