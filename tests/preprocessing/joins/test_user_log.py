"""One user's log in order: duplicates, caps and pages."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.config import JoinConfig
from preprocessing.joins.user_log import Counts, UserEvents, UserLog
from preprocessing.logs.records import Action, Impression, Search

JOIN = JoinConfig(request_window_s=1000, fallback_window_s=100, clock_skew_s=5, max_user_events=50)
Event = Search | Action | Impression


def search(ts: int, request_id: str, results: tuple[str, ...] = ("a", "b")) -> Search:
    return Search(ts, request_id, "u", f"query {request_id}", results, "file")


def action(ts: int, item_id: str = "a", request_id: str = "", kind: str = "click") -> Action:
    return Action(ts, "u", item_id, kind, request_id, "file")


def log_of(events: list[Event], join: JoinConfig = JOIN) -> tuple[UserLog, Counts]:
    gathered = UserEvents(join.max_user_events)
    for event in events:
        gathered.add(event)
    return gathered.log("u", join), gathered.dropped


def test_duplicates_count_once_and_the_named_one_stays() -> None:
    events: list[Event] = [search(0, "r"), search(0, "r"), search(50, "r"), action(1_000), action(1_000, "a", "r")]
    log, dropped = log_of(events)
    assert len(log.requests) == 1
    assert log.requests[0].ts == 0
    assert [one.request for one in log.actions] == [0]
    assert dropped["searches", "excluded", "duplicate"] == 2
    assert dropped["actions", "excluded", "duplicate"] == 1


def test_a_bot_keeps_its_newest_events() -> None:
    count = 100_000
    events: list[Event] = [action(ts, f"i{ts}") for ts in range(count)]
    random.Random(1).shuffle(events)
    log, dropped = log_of(events)
    assert [one.ts for one in log.actions] == list(range(count - 50, count))
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


def test_a_further_page_of_a_request_is_no_duplicate() -> None:
    events: list[Event] = [
        search(2_000, "r", ("c", "d")),
        search(0, "r", ("a", "b")),
        search(5_000, "r", ("b", "e")),
        search(9_000, "r", ("a", "e")),  # shows nothing more
        search(9_500, "r", ("z",))._replace(query="another"),  # a request id used twice
        action(3_000, "d", "r"),
    ]
    log, dropped = log_of(events)
    assert [(one.ts, one.results) for one in log.requests] == [(0, ("a", "b", "c", "d", "e"))]
    assert [one.request for one in log.actions] == [0]
    assert dropped["searches", "excluded", "further page"] == 2
    assert dropped["searches", "excluded", "duplicate"] == 2


def test_the_cap_counts_what_is_different() -> None:
    events: list[Event] = [action(ts, "a") for ts in range(50) for _ in range(40)]
    log, dropped = log_of(events)
    assert len(log.actions) == 50
    assert dropped["actions", "excluded", "duplicate"] == 50 * 39
    assert dropped["actions", "excluded", "over user cap"] == 0


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
caps = st.integers(1, 12)  # far less than there are events, so that the log is cut on the way again and again


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(searches, actions), max_size=60), caps, st.randoms())
def test_the_order_of_arrival_leaves_no_trace(events: list[Event], cap: int, shuffle: random.Random) -> None:
    join = JOIN.model_copy(update={"max_user_events": cap})
    shuffled = list(events)
    shuffle.shuffle(shuffled)
    assert log_of(events, join) == log_of(shuffled, join)


def test_nor_does_it_in_the_log_of_a_bot() -> None:
    """A few requests and items again and again, thousands of times over the cap."""
    draw = random.Random(3)
    events: list[Event] = []
    for _ in range(5_000):
        ts = draw.randrange(400) * 1000
        if draw.random() < 0.4:
            events.append(search(ts, f"r{draw.randrange(30)}", tuple(draw.sample("abcde", 2))))
        else:
            events.append(action(ts, draw.choice("abcde"), f"r{draw.randrange(60)}", draw.choice(["click", "order"])))
    expected = log_of(events)
    assert expected[1]["actions", "excluded", "over user cap"] > 1_000
    for _ in range(20):
        draw.shuffle(events)
        assert log_of(events) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(searches, actions), max_size=40), caps)
def test_everything_is_kept_or_counted_and_no_action_precedes_what_it_answers(events: list[Event], cap: int) -> None:
    log, dropped = log_of(events, JOIN.model_copy(update={"max_user_events": cap}))
    assert len(log.requests) + len(log.actions) + sum(dropped.values()) == len(events)
    for one in log.actions:
        assert one.request < 0 or one.effective_ts >= log.requests[one.request].ts
        assert one.effective_ts >= one.ts


def test_packed_and_back() -> None:
    log, _ = log_of([search(0, "r"), action(10, "a", "r")])
    assert UserLog.unpacked(log.packable()) == log
