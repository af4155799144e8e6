"""Bots before the shuffle: whoever leaves events out, and wherever, a user's log and its accounts stay the same."""

from __future__ import annotations

import collections
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.config import JoinConfig
from preprocessing.joins.user_log import UserEvents, UserLog
from preprocessing.logs import heavy_users
from preprocessing.logs.heavy_users import HeavyUsers
from preprocessing.logs.newest_events import Event, NewestEvents, stream_of
from preprocessing.logs.records import Action, Impression, Search

JOIN = JoinConfig(request_window_s=1000, fallback_window_s=100, max_user_events=6)
Account = tuple[UserLog, dict[tuple[str, ...], int]]


@st.composite
def events(draw: st.DrawFn) -> Event:
    ts, number = draw(st.integers(0, 30)), draw(st.integers(0, 3))
    kind = draw(st.sampled_from("sai"))
    if kind == "s":
        return Search(ts, f"r{number}", "bot", "q", ("a", "b"), f"file{number % 2}")
    if kind == "a":
        return Action(ts, "bot", f"i{number}", "click", draw(st.sampled_from(["", "r1"])), f"file{number % 2}")
    return Impression(ts, "bot", f"r{number}", "a", number % 2, "file")


def account(whole: list[tuple[Event, int]], left_out: dict[str, int]) -> Account:
    gathered = UserEvents(JOIN.max_user_events)
    for event, times in whole:
        gathered.add(event, times)
    log = gathered.log("bot", JOIN)
    counts = gathered.dropped.copy()
    for stream, times in left_out.items():
        counts[stream, "excluded", "over user cap"] += times
    return log, {key: count for key, count in counts.items() if count}


@given(st.lists(events(), max_size=120), st.lists(st.integers(0, 3), min_size=120, max_size=120))
def test_leaving_out_anywhere_changes_neither_log_nor_account(log: list[Event], where: list[int]) -> None:
    workers = [NewestEvents(JOIN.max_user_events) for _ in range(3)]  # and a fourth place that holds nothing
    passed: list[tuple[Event, int]] = []
    for event, place in zip(log, where, strict=False):
        if place < 3:
            workers[place].add(event)
        else:
            passed.append((event, 1))
    left_out: collections.Counter[str] = collections.Counter()
    for worker in workers:
        passed += worker.drain()
        left_out += worker.left_out()
    random.Random(len(log)).shuffle(passed)
    assert account(passed, left_out) == account([(event, 1) for event in log], {})


def test_a_bot_among_many_users_is_found_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy_users, "_COUNTED", 100)
    monkeypatch.setattr(heavy_users, "_COUNTERS", 20)
    heavy, passed = HeavyUsers(cap=50), collections.Counter[str]()
    draw = random.Random(3)
    for ts in range(20_000):
        user_id = "bot" if draw.random() < 0.2 else f"u{draw.randrange(2_000)}"
        event = Action(ts, user_id, "i", "click", "", "file")
        if not heavy.holds(event):
            passed[user_id] += 1
    kept = list(heavy.drain())
    left_out = heavy.left_out()["actions"]
    assert {user_id for user_id, *_ in kept} == {"bot"}
    assert len(kept) == 50 and [one[3][0] for one in kept] == sorted(one[3][0] for one in kept)
    assert passed["bot"] < 1_000  # before it was found
    assert passed.total() + len(kept) + left_out == 20_000
    assert not heavy.full and not list(heavy.drain())


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy_users, "_COUNTED", 10)
    monkeypatch.setattr(heavy_users, "_HELD", 100)
    heavy, most = HeavyUsers(cap=20), 0
    for ts in range(5_000):
        heavy.holds(Action(ts, f"bot {ts % 10}", "i", "click", "", "file"))
        if heavy.full:
            most = max(most, len(list(heavy.drain())))
    assert 90 <= most <= 100


def test_streams_are_told_apart() -> None:
    kinds = [
        Search(1, "r", "u", "q", (), "f"),
        Action(1, "u", "i", "click", "", "f"),
        Impression(1, "u", "r", "i", 0, "f"),
    ]
    assert [stream_of(one) for one in kinds] == ["searches", "actions", "impressions"]
