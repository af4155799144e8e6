"""What is kept of a user from day to day: enough for the next requests, and each thing counted once."""

from __future__ import annotations

import collections

from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.config import HistoryConfig, PreprocessingConfig
from preprocessing.joins.join_users import needed
from preprocessing.joins.past_users import LATE_DAYS, Horizon, PastUser, past_of, training_examples, with_past
from preprocessing.joins.split import Cuts
from preprocessing.joins.user_log import UserEvents, UserLog
from preprocessing.logs.records import Action, Search, days

CONFIG = PreprocessingConfig(history=HistoryConfig(short_days=1, long_days=2))
DAYS, HOUR = 9, 3_600_000
Event = Search | Action


def _search(ts: int, number: int) -> Search:
    return Search(ts, f"r{number}", "u", "query", ("a", "b"), "file")


def _action(ts: int, item_id: str, request: int) -> Action:
    return Action(ts, "u", item_id, "click", f"r{request}" if request else "", "file")


def _cuts(day: int) -> Cuts:
    return Cuts(days(day - 1), days(day))


def _gather(events: list[Event]) -> UserEvents:
    gathered = UserEvents(CONFIG.join.max_user_events)
    for event in events:
        gathered.add(event)
    return gathered


class Daily:
    """A user's days, one after the other, and how often each thing was counted."""

    def __init__(self) -> None:
        self.past: PastUser | None = None
        self.counted: collections.Counter[object] = collections.Counter()
        self.written: collections.Counter[object] = collections.Counter()

    def __call__(self, day: int, events: list[Event]) -> UserLog:
        cuts, gathered = _cuts(day), _gather(events)
        log = with_past(gathered, self.past, "u", CONFIG)
        for place, request in enumerate(log.requests):
            if request.ts < cuts.validation and place not in log.seen.counted:
                self.counted[request.request_id] += 1
        for place, one in enumerate(log.actions):
            if one.effective_ts < cuts.validation and place not in log.seen.counted_actions:
                self.counted[one.ts, one.item_id] += 1
        new = training_examples(log, cuts, CONFIG) - log.seen.written
        self.written.update(log.requests[place].request_id for place in new)
        self.past = past_of(log, gathered, cuts, CONFIG)
        return log


def _since(log: UserLog, ts: int) -> tuple[list[tuple], list[tuple]]:
    requests = [(one.ts, one.request_id, one.query) for one in log.requests if one.ts >= ts]
    return requests, [(one.effective_ts, one.item_id, one.action) for one in log.actions if one.effective_ts >= ts]


EVENTS = st.lists(
    st.tuples(st.integers(1, 24 * DAYS - 1), st.booleans(), st.integers(0, 4), st.sampled_from("abc"), st.booleans())
)


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_day_after_day_as_in_one_log(drawn: list[tuple[int, bool, int, str, bool]]) -> None:
    """Some events come a day late: the past that is looked back to is the same, and all is counted once."""
    received: dict[int, list[Event]] = collections.defaultdict(list)
    for hour, searched, before, item_id, late in drawn:
        event = _search(hour * HOUR, hour) if searched else _action(hour * HOUR, item_id, max(0, hour - before))
        received[hour // 24 + late].append(event)
    daily, sofar = Daily(), list[Event]()
    for day in range(DAYS + 1):
        sofar += received[day]
        log = daily(day, received[day])
        whole = _gather(sofar).log("u", CONFIG.join)
        since = Horizon.of(_cuts(day), CONFIG).events
        assert _since(log, since) == _since(whole, since)
    last = _cuts(DAYS)
    assert set(daily.counted.values()) <= {1} and set(daily.written.values()) <= {1}
    assert {one.request_id for one in whole.requests if one.ts < last.validation} <= daily.counted.keys()
    assert {
        (one.ts, one.item_id) for one in whole.actions if one.effective_ts < last.validation
    } <= daily.counted.keys()


def test_an_unanswered_request_waits_for_its_first_answer() -> None:
    for late in range(1, LATE_DAYS + 4):
        daily = Daily()
        daily(1, [_search(HOUR, 1)])
        for day in range(2, 2 + late):
            daily(day, [])
        daily(2 + late, [_action(2 * HOUR, "a", 1)])
        in_time = late < LATE_DAYS + 1
        assert daily.written == ({"r1": 1} if in_time else {}), late
        assert daily.counted["r1"] == 1


def test_what_is_written_is_not_written_again() -> None:
    daily = Daily()
    daily(1, [_search(HOUR, 1), _action(2 * HOUR, "a", 1)])
    assert daily.past is not None and daily.past.waits
    daily(2, [])
    assert daily.written == {"r1": 1} and daily.past is not None and not daily.past.waits
    log = daily(3, [_action(3 * HOUR, "b", 1)])
    assert daily.written == {"r1": 1} and log.seen.written == {0}
    kept = needed(log)
    assert [one.results for one in kept.requests] == [()] and [one.item_id for one in kept.actions] == ["b"]


def test_a_bot_keeps_its_newest_events() -> None:
    """As many as the cap, of all days together."""
    config = CONFIG.model_copy(update={"join": CONFIG.join.model_copy(update={"max_user_events": 50})})
    past, whole = None, UserEvents(50)
    for day in range(5):
        gathered = UserEvents(50)
        for number in range(20):
            for events in (gathered, whole):
                events.add(_action(days(day) + number * HOUR, f"i{number}", 0))
        log = with_past(gathered, past, "u", config)
        past = past_of(log, gathered, Cuts(days(day + 4), days(day + 5)), config)
    assert [one[:4] for one in log.actions] == [one[:4] for one in whole.log("u", config.join).actions]


def test_who_has_no_past_left_is_forgotten() -> None:
    daily = Daily()
    daily(1, [_search(HOUR, 1)])
    last = 1 + LATE_DAYS + CONFIG.history.long_days
    for day in range(2, last + 1):
        daily(day, [])
        assert daily.past is not None
    daily(last + 1, [])
    assert daily.past is None
