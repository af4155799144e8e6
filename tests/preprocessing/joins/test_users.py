"""One user's log in order: duplicates, caps, and which request an action answers."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.config import JoinConfig
from preprocessing.joins.users import UserEvents, UserLog
from preprocessing.logs.records import Action, Impression, Search

JOIN = JoinConfig(request_window_s=1000, fallback_window_s=100, clock_skew_s=5, max_user_events=50)
Event = Search | Action | Impression


def search(ts: int, request_id: str, results: tuple[str, ...] = ("a", "b")) -> Search:
    return Search(ts, request_id, "u", f"query {request_id}", results, "file")


def action(ts: int, item_id: str = "a", request_id: str = "", kind: str = "click") -> Action:
    return Action(ts, "u", item_id, kind, request_id, "file")


def log_of(events: list[Event], join: JoinConfig = JOIN) -> tuple[UserLog, dict[Any, int]]:
    gathered = UserEvents(join.max_user_events)
    for event in events:
        gathered.add(event)
    return gathered.log("u", join), dict(gathered.dropped)


def answered(events: list[Event]) -> list[int]:
    return [deed.request for deed in log_of(events)[0].deeds]


def test_an_action_answers_the_request_it_names() -> None:
    events = [search(10_000, "r1"), search(20_000, "r2"), action(30_000, "zzz", "r1")]
    assert answered(events) == [0]


def test_a_named_request_counts_for_its_window_only() -> None:
    assert answered([search(0, "r"), action(1_000_000, "a", "r")]) == [0]
    assert answered([search(0, "r"), action(1_000_001, "a", "r")]) == [-1]


def test_a_little_clock_skew_is_forgiven_and_takes_effect_at_the_request() -> None:
    log, _ = log_of([search(10_000, "r"), action(5_000, "a", "r")])
    assert [(deed.request, deed.effective, deed.ts) for deed in log.deeds] == [(0, 10_000, 5_000)]
    assert answered([search(10_000, "r"), action(4_999, "a", "r")]) == [-1]


def test_without_a_request_id_the_newest_page_that_showed_the_item_is_answered() -> None:
    pages: list[Event] = [search(0, "r1", ("a",)), search(10_000, "r2", ("a",)), search(20_000, "r3", ("b",))]
    assert answered([*pages, action(30_000, "a")]) == [1]
    assert answered([*pages, action(20_000, "b")]) == [2]
    assert answered([*pages, action(120_001, "a")]) == [-1]
    assert answered([*pages, action(30_000, "zzz")]) == [-1]


def test_an_unknown_request_id_falls_back_to_the_page() -> None:
    assert answered([search(0, "r1", ("a",)), action(1_000, "a", "other")]) == [0]


def test_duplicates_count_once_and_the_named_one_stays() -> None:
    events: list[Event] = [search(0, "r"), search(0, "r"), search(50, "r"), action(1_000), action(1_000, "a", "r")]
    log, dropped = log_of(events)
    assert len(log.requests) == 1
    assert log.requests[0].ts == 0
    assert [deed.request for deed in log.deeds] == [0]
    assert dropped["searches", "excluded", "duplicate"] == 2
    assert dropped["actions", "excluded", "duplicate"] == 1


def test_a_bot_keeps_its_newest_events() -> None:
    count = 100_000
    events: list[Event] = [action(ts, f"i{ts}") for ts in range(count)]
    random.Random(1).shuffle(events)
    log, dropped = log_of(events)
    assert [deed.ts for deed in log.deeds] == list(range(count - 50, count))
    assert dropped["actions", "excluded", "over user cap"] == count - 50


def test_impressions_make_the_page() -> None:
    shown = [
        Impression(5, "u", "r", item, position, "f") for item, position in (("c", 2), ("a", 0), ("b", 1), ("a", 3))
    ]
    stray = Impression(5, "u", "gone", "a", 0, "f")
    log, dropped = log_of([search(0, "r", ()), *shown, shown[0], stray])
    assert log.requests[0].results == ("a", "b", "c")
    assert dropped["impressions", "used"] == 4
    assert dropped["impressions", "excluded", "duplicate"] == 1
    assert dropped["impressions", "excluded", "no request"] == 1


times = st.integers(0, 300).map(lambda value: value * 1000)
items = st.sampled_from(["a", "b", "c"])
searches = st.builds(
    lambda ts, number, page: search(ts, f"r{number}", tuple(sorted(page))), times, st.integers(0, 20), st.sets(items)
)
actions = st.builds(
    lambda ts, item, number, kind: action(ts, item, f"r{number}" if number < 20 else "", kind),
    times,
    items,
    st.integers(0, 30),
    st.sampled_from(["click", "order"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(searches, actions), max_size=40), st.randoms())
def test_the_order_of_arrival_leaves_no_trace(events: list[Event], shuffle: random.Random) -> None:
    shuffled = list(events)
    shuffle.shuffle(shuffled)
    assert log_of(events) == log_of(shuffled)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(searches, actions), max_size=40))
def test_everything_is_kept_or_counted_and_no_deed_precedes_what_it_answers(events: list[Event]) -> None:
    log, dropped = log_of(events)
    assert len(log.requests) + len(log.deeds) + sum(dropped.values()) == len(events)
    for deed in log.deeds:
        assert deed.request < 0 or deed.effective >= log.requests[deed.request].ts
        assert deed.effective >= deed.ts


def test_packed_and_back() -> None:
    log, _ = log_of([search(0, "r"), action(10, "a", "r")])
    assert UserLog.unpacked(log.packable()) == log
