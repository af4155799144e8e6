"""The horizons: what falls where, newest first, never the present or the future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.config import HistoryConfig
from preprocessing.data.features import HORIZONS
from preprocessing.joins.attribution import NO_REQUEST, AttributedAction
from preprocessing.joins.history import History, previous_queries
from preprocessing.logs.records import day_start, days

NOON = days(100) + days(0.5)
HOUR = 3_600_000


def act(ts: int, item_id: str, action: str = "click") -> AttributedAction:
    return AttributedAction(ts, item_id, action, ts, NO_REQUEST, False, "file")


def items(horizons: Mapping[str, Sequence[AttributedAction]]) -> dict[str, list[str]]:
    return {name: [one.item_id for one in actions] for name, actions in horizons.items()}


def history(actions: list[AttributedAction], **config: float) -> History:
    return History(sorted(actions), HistoryConfig.model_validate(config))


def test_each_horizon_has_its_days() -> None:
    past = history(
        [
            act(NOON - HOUR, "this morning"),
            act(NOON - 13 * HOUR, "last evening"),
            act(day_start(NOON, 0) - days(10), "ten days before"),
            act(day_start(NOON, 0) - days(10) - 1, "click of last month"),
            act(NOON - days(20), "order of last month", "order"),
            act(NOON - days(20), "cart of last month", "cart"),
            act(NOON - days(21), "collected last month", "collect"),
            act(day_start(NOON, 0) - days(30) - 1, "too old"),
        ]
    )
    assert items(past.at(NOON)) == {
        "realtime": ["this morning"],
        "short": ["last evening", "ten days before"],
        "long_click": ["click of last month"],
        "long_order": ["order of last month"],
        "long_collect": ["cart of last month", "collected last month"],
    }


def test_the_shops_day_decides_what_is_today() -> None:
    actions = [act(NOON - 13 * HOUR, "a")]
    assert items(history(actions).at(NOON))["realtime"] == []
    assert items(history(actions, timezone_offset_h=2).at(NOON))["realtime"] == ["a"]


def test_newest_first_each_item_once_and_capped() -> None:
    actions = [act(NOON - 100 + place, item) for place, item in enumerate("abcabd")]
    assert items(history(actions).at(NOON))["realtime"] == ["d", "b", "a", "c"]
    assert items(history(actions, realtime=2).at(NOON))["realtime"] == ["d", "b"]
    assert items(history(actions, realtime=0).at(NOON))["realtime"] == []


def test_of_each_item_the_newest_action_of_the_horizon() -> None:
    actions = [act(NOON - 3, "a", "click"), act(NOON - 2, "a", "order"), act(NOON - 1, "b", "cart"), act(NOON, "b")]
    past = history(actions).at(NOON)["realtime"]
    assert [(one.item_id, one.action, one.effective_ts - NOON) for one in past] == [
        ("b", "cart", -1),
        ("a", "order", -2),
    ]


def test_the_same_moment_is_not_the_past() -> None:
    assert items(history([act(NOON, "now"), act(NOON - 1, "before")]).at(NOON))["realtime"] == ["before"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60 * 24), st.integers(0, 5), st.sampled_from(["click", "order", "cart", "collect"])),
        max_size=60,
    ),
    st.lists(st.integers(0, 60 * 24), min_size=1, max_size=5),
    st.integers(-12, 12),
)
def test_only_the_past_and_each_horizon_as_recomputed(
    drawn: list[tuple[int, int, str]], hours: list[int], offset: int
) -> None:
    actions = sorted(act(hour * HOUR, f"item {item}", action) for hour, item, action in drawn)
    past = history(actions, timezone_offset_h=offset)
    for ts in sorted(hour * HOUR for hour in hours):
        today = day_start(ts, offset * HOUR)
        found = items(past.at(ts))
        spans = {"realtime": (today, ts), "short": (today - days(10), today)}
        kinds = {"long_click": {"click"}, "long_order": {"order"}, "long_collect": {"cart", "collect"}}
        for name in HORIZONS:
            since, before = spans.get(name, (today - days(30), today - days(10)))
            kind = kinds.get(name, {"click", "order", "cart", "collect"})
            expected = [one.item_id for one in reversed(actions) if since <= one.ts < before and one.action in kind]
            assert found[name] == list(dict.fromkeys(expected))


def test_previous_queries_are_different_earlier_and_newest_first() -> None:
    times, queries = [1, 2, 3, 4, 4, 5], ["a", "b", "a", "c", "d", "e"]
    assert previous_queries(times, queries, ts=4, since=0, limit=5) == ["a", "b"]
    assert previous_queries(times, queries, ts=5, since=2, limit=2) == ["d", "c"]
    assert previous_queries(times, queries, ts=5, since=0, limit=0) == []
    assert previous_queries(times, ["a", "", "", "", "", ""], ts=6, since=0, limit=2) == ["a"]
