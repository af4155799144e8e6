"""What a user did strictly before a moment: three horizons and the previous queries, newest first."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from preprocessing.config import HistoryConfig
from preprocessing.data.features import LONG_ACTIONS
from preprocessing.joins.attribution import AttributedAction
from preprocessing.logs.records import day_start, days

# A horizon looks at no more than this many actions for each place it fills: a bot's day is long.
_LOOKED_AT = 20


class Past(NamedTuple):
    """What a user did strictly before a request."""

    day: int  # the midnight before it: the horizons that end there are the same all day
    horizons: Mapping[str, Sequence[AttributedAction]]  # of each item the newest
    queries: Sequence[str]


class Timeline(NamedTuple):
    """Actions of some kinds in order of effect."""

    times: list[int]
    actions: list[AttributedAction]

    @classmethod
    def of(cls, actions: Iterable[AttributedAction], kinds: Sequence[str] | None = None) -> Timeline:
        """The actions whose kind is among `kinds`, or all."""
        kept = [one for one in actions if kinds is None or one.action in kinds]
        return cls([one.effective_ts for one in kept], kept)

    def newest(self, since: int, before: int, limit: int) -> list[AttributedAction]:
        """The newest actions on up to `limit` different items of `[since, before)`, newest first."""
        first, end = bisect.bisect_left(self.times, since), bisect.bisect_left(self.times, before)
        newest: dict[str, AttributedAction] = {}
        for action in reversed(self.actions[max(first, end - _LOOKED_AT * limit) : end]):
            newest.setdefault(action.item_id, action)
        return list(newest.values())[:limit]


class History:
    """One user's past, asked for at each of the user's requests in order of time."""

    def __init__(self, actions: Sequence[AttributedAction], config: HistoryConfig) -> None:
        self._config = config
        self._offset = round(config.timezone_offset_h * 3_600_000)
        self._all = Timeline.of(actions)
        self._by_horizon = {horizon: Timeline.of(actions, kinds) for horizon, kinds in LONG_ACTIONS.items()}
        self.day = -1  # the midnight that `at` was last asked behind
        self._before_today: dict[str, list[AttributedAction]] = {}

    def at(self, ts: int) -> dict[str, list[AttributedAction]]:
        """By horizon, what took effect strictly before `ts`."""
        today = day_start(ts, self._offset)
        if today != self.day:
            self.day, self._before_today = today, self._until(today)
        return {"realtime": self._all.newest(today, ts, self._config.realtime), **self._before_today}

    def _until(self, today: int) -> dict[str, list[AttributedAction]]:
        """The horizons that end at midnight, the same for every request of a day."""
        config = self._config
        short_from, long_from = today - days(config.short_days), today - days(config.long_days)
        horizons = {"short": self._all.newest(short_from, today, config.short)}
        for horizon, timeline in self._by_horizon.items():
            horizons[horizon] = timeline.newest(long_from, short_from, config.long)
        return horizons


def age_of(action: AttributedAction, ts: int) -> int:
    """Whole seconds from an action to a later moment, at least one."""
    return max(1, (ts - action.effective_ts) // 1000)


def previous_queries(times: Sequence[int], queries: Sequence[str], ts: int, since: int, limit: int) -> list[str]:
    """Up to `limit` different queries of `[since, ts)`, newest first; both sequences in order of time."""
    if not limit:
        return []
    first, end = bisect.bisect_left(times, since), bisect.bisect_left(times, ts)
    window = queries[max(first, end - _LOOKED_AT * limit) : end]
    return list(itertools.islice(dict.fromkeys(filter(None, reversed(window))), limit))  # an empty one says nothing
