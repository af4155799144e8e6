"""One user's log put in order: duplicates out, bots capped, every action given to the request it answers.

The rules, each with its name in `stats.json`:

* *duplicate*: the same request id, or the same user, item, action and time, counts once;
* *over user cap*: of more than `max_user_events` searches and actions the newest are kept;
* an action belongs to the request of this user that it names, if it comes within `request_window_s` after it (or
  seems up to `clock_skew_s` before it); one that names no request of the user's belongs to the newest request
  within `fallback_window_s` that showed the item; any other is history alone;
* an action never takes effect before the request it answers, so a skewed clock cannot show a request its own answer.
"""

from __future__ import annotations

import bisect
import collections
import operator
from collections.abc import Iterable
from typing import NamedTuple

from preprocessing.config import JoinConfig
from preprocessing.logs.records import Action, Impression, Search

Counts = collections.Counter[tuple[str, ...]]
_BY_TIME = operator.itemgetter(0)


class Deed(NamedTuple):
    """An action in its user's history, from the moment it takes effect."""

    effective: int
    item_id: str
    action: str
    ts: int
    request: int  # index into the user's requests, -1 where it answers none
    source: str


class Request(NamedTuple):
    """A search, in its user's history."""

    ts: int
    request_id: str
    query: str
    results: tuple[str, ...]


class UserLog(NamedTuple):
    """All that is kept of one user, both lists in order of time."""

    user_id: str
    requests: list[Request]
    deeds: list[Deed]

    def packable(self) -> tuple:
        """As plain tuples, for `records.pack`."""
        return self.user_id, [tuple(request) for request in self.requests], [tuple(deed) for deed in self.deeds]

    @classmethod
    def unpacked(cls, packed: tuple) -> UserLog:
        """Back from `packable`."""
        user_id, requests, deeds = packed
        return cls(user_id, [Request._make(request) for request in requests], [Deed._make(deed) for deed in deeds])


class UserEvents:
    """Gathers one user's events in any order, never more than twice the cap of them."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._events: list[Search | Action] = []
        self._impressions: list[Impression] = []
        self.dropped: Counts = collections.Counter()

    def add(self, event: Search | Action | Impression) -> None:
        """Takes one event."""
        if isinstance(event, Impression):
            self._impressions.append(event)
            return
        self._events.append(event)
        if len(self._events) > 2 * self._cap:
            self._tidy()

    def _tidy(self) -> None:
        """Drops duplicates, then the oldest past the cap; the order ends as if all had come at once."""
        kept: dict[tuple, Search | Action] = {}
        # The fields decide all ties, so the order in which events came leaves no trace.
        for event in sorted(self._events, key=_canonical):
            if kept.setdefault(_identity(event), event) is not event:
                self.dropped[stream_of(event), "excluded", "duplicate"] += 1
        newest_last = list(kept.values())
        over, self._events = newest_last[: -self._cap], newest_last[-self._cap :]
        for event in over:
            self.dropped[stream_of(event), "excluded", "over user cap"] += 1

    def log(self, user_id: str, join: JoinConfig) -> UserLog:
        """The user's events in order, joined."""
        self._tidy()
        searches = [event for event in self._events if isinstance(event, Search)]
        actions = [event for event in self._events if isinstance(event, Action)]
        shown = self._shown({search.request_id for search in searches})
        requests = [Request(s.ts, s.request_id, s.query, shown.get(s.request_id) or s.results) for s in searches]
        return UserLog(user_id, requests, _deeds(requests, actions, join))

    def _shown(self, request_ids: set[str]) -> dict[str, tuple[str, ...]]:
        """Each request's page, put together from its impressions."""
        pages: dict[str, set[tuple[int, str]]] = collections.defaultdict(set)
        for impression in self._impressions:
            if impression.request_id not in request_ids:
                self.dropped["impressions", "excluded", "no request"] += 1
            elif (place := (impression.position, impression.item_id)) in pages[impression.request_id]:
                self.dropped["impressions", "excluded", "duplicate"] += 1
            else:
                pages[impression.request_id].add(place)
                self.dropped["impressions", "used"] += 1
        return {
            request_id: tuple(dict.fromkeys(item_id for _, item_id in sorted(page)))
            for request_id, page in pages.items()
        }


def stream_of(event: Search | Action) -> str:
    """The stream an event came in."""
    return "searches" if isinstance(event, Search) else "actions"


def _canonical(event: Search | Action) -> tuple:
    """Time, then content; an action that names its request comes before one that does not."""
    if isinstance(event, Search):
        return event.ts, 0, event.request_id, event.query, event.results, event.source
    return event.ts, 1, event.item_id, event.action, not event.request_id, event.request_id, event.source


def _identity(event: Search | Action) -> tuple:
    if isinstance(event, Search):
        return (event.request_id,)
    return event.ts, event.item_id, event.action


def _deeds(requests: list[Request], actions: Iterable[Action], join: JoinConfig) -> list[Deed]:
    by_id = {request.request_id: index for index, request in enumerate(requests)}
    times = [request.ts for request in requests]
    deeds = []
    for action in actions:
        named = by_id.get(action.request_id, -1) if action.request_id else -1
        if named >= 0:
            index = named if _answers_in_time(requests[named], action, join) else -1
        else:
            index = _fallback(requests, times, action, join.fallback_window_s * 1000)
        effective = max(action.ts, requests[index].ts) if index >= 0 else action.ts
        deeds.append(Deed(effective, action.item_id, action.action, action.ts, index, action.source))
    return sorted(deeds)


def _answers_in_time(request: Request, action: Action, join: JoinConfig) -> bool:
    return -join.clock_skew_s * 1000 <= action.ts - request.ts <= join.request_window_s * 1000


def _fallback(requests: list[Request], times: list[int], action: Action, window: int) -> int:
    """The newest request at or before the action, within the window, that showed the item."""
    index = bisect.bisect_right(times, action.ts) - 1
    while index >= 0 and action.ts - times[index] <= window:
        if action.item_id in requests[index].results:
            return index
        index -= 1
    return -1
