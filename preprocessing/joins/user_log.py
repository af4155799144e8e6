"""One user's log put in order: duplicates out, bots capped, pages together, every action with the request it answers.

The rules, each with its name in `stats.json`:

* *over user cap*: of more than `max_user_events` different searches and actions the newest are kept;
* *further page*: a search that repeats a request's id and query and shows more items is a page of that request;
* *duplicate*: any other search with a request's id, and the same item, action and time of a user, counts once.
"""

from __future__ import annotations

import collections
from collections.abc import Container, Iterable
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

    @property
    def size(self) -> int:
        """How many events it holds."""
        return len(self.requests) + len(self.actions)

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
        self._events: dict[tuple, tuple[Search | Action, int]] = {}  # by rank: an event, how often it came
        self._impressions: list[Impression] = []
        self._taken: collections.Counter[str] = collections.Counter()
        self.dropped: Counts = collections.Counter()

    def add(self, event: Search | Action | Impression) -> None:
        """Takes one event."""
        if isinstance(event, Impression):
            self._impressions.append(event)
            return
        self._taken[stream_of(event)] += 1
        rank = _rank(event)
        known, times = self._events.get(rank, (event, 0))
        self._events[rank] = min(known, event, key=_preference), times + 1
        if len(self._events) > 2 * self._cap:
            self._cut()

    def _cut(self) -> None:
        """Keeps the newest. As ranks are of content alone, one that falls out has a cap of others above it for good."""
        self._events = {rank: self._events[rank] for rank in sorted(self._events)[-self._cap :]}

    def log(self, user_id: str, join: JoinConfig) -> UserLog:
        """The user's events in order, joined."""
        self._cut()
        kept = [event for event, _ in self._events.values()]
        for event, times in self._events.values():
            self.dropped[stream_of(event), "excluded", "duplicate"] += times - 1
            self._taken[stream_of(event)] -= times
        for stream, times in self._taken.items():
            self.dropped[stream, "excluded", "over user cap"] += times
        searches = self._merge_pages(event for event in kept if isinstance(event, Search))
        actions = [event for event in kept if isinstance(event, Action)]
        shown = self._shown(searches)
        requests = [
            Request(one.ts, one.request_id, one.query, shown.get(one.request_id) or one.results)
            for one in searches.values()
        ]
        return UserLog(user_id, requests, attribute(requests, actions, join))

    def _merge_pages(self, searches: Iterable[Search]) -> dict[str, Search]:
        """By request id, each with the items of all its pages; in order of time, as the searches are."""
        requests: dict[str, Search] = {}
        for search in searches:
            first = requests.setdefault(search.request_id, search)
            if first is search:
                continue
            more = search.query == first.query and not set(search.results) <= set(first.results)
            self.dropped["searches", "excluded", "further page" if more else "duplicate"] += 1
            if more:
                results = tuple(dict.fromkeys((*first.results, *search.results)))
                requests[search.request_id] = first._replace(results=results)
        return requests

    def _shown(self, request_ids: Container[str]) -> dict[str, tuple[str, ...]]:
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


def _rank(event: Search | Action) -> tuple:
    """By time, then by all that tells two events apart."""
    if isinstance(event, Search):
        return event.ts, 0, event.request_id, event.query, event.results
    return event.ts, 1, event.item_id, event.action


def _preference(event: Search | Action) -> tuple:
    """Which of two events of one rank stays: an action that names its request, then what sorts first."""
    if isinstance(event, Search):
        return (event.source,)
    return not event.request_id, event.request_id, event.source
