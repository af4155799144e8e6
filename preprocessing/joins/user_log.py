"""One user's log put in order: duplicates out, bots capped, every action with the request it answers.

The rules, each with its name in `stats.json`:

* *duplicate*: the same request id, or the same user, item, action and time, counts once;
* *over user cap*: of more than `max_user_events` searches and actions the newest are kept.
"""

from __future__ import annotations

import collections
from typing import NamedTuple

from preprocessing.config import JoinConfig
from preprocessing.joins.attribution import AttributedAction, Request, attribute
from preprocessing.logs.records import Action, Impression, Search

Counts = collections.Counter[tuple[str, ...]]


class UserLog(NamedTuple):
    """All that is kept of one user, both lists in order of time."""

    user_id: str
    requests: list[Request]
    actions: list[AttributedAction]

    def packable(self) -> tuple:
        """As plain tuples, for `records.pack`."""
        return self.user_id, [tuple(request) for request in self.requests], [tuple(one) for one in self.actions]

    @classmethod
    def unpacked(cls, packed: tuple) -> UserLog:
        """Back from `packable`."""
        user_id, requests, actions = packed
        return cls(
            user_id, [Request._make(request) for request in requests], [AttributedAction._make(one) for one in actions]
        )


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
        return UserLog(user_id, requests, attribute(requests, actions, join))

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
