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
from preprocessing.logs.newest_events import Event, NewestEvents, stream_of
from preprocessing.logs.records import Action, Impression, Search

Counts = collections.Counter[tuple[str, ...]]


class Seen(NamedTuple):
    """What earlier days have done with a user's log, by the places of requests and actions."""

    counted: frozenset[int] = frozenset()  # requests whose words are counted
    written: frozenset[int] = frozenset()  # requests that are in a training record
    known_actions: frozenset[int] = frozenset()
    counted_actions: frozenset[int] = frozenset()


class UserLog(NamedTuple):
    """All that is kept of one user, both lists in order of time."""

    user_id: str
    requests: list[Request]
    actions: list[AttributedAction]
    seen: Seen = Seen()

    @property
    def size(self) -> int:
        """How many events it holds."""
        return len(self.requests) + len(self.actions)

    def packable(self) -> tuple:
        """As plain tuples, for `records.pack`."""
        requests, actions = [tuple(request) for request in self.requests], [tuple(one) for one in self.actions]
        return self.user_id, requests, actions, tuple(self.seen)

    @classmethod
    def unpacked(cls, packed: tuple) -> UserLog:
        """Back from `packable`."""
        user_id, requests, actions, seen = packed
        return cls(
            user_id,
            [Request._make(request) for request in requests],
            [AttributedAction._make(one) for one in actions],
            Seen._make(seen),
        )


class UserEvents:
    """Gathers one user's events in any order, never more than twice the cap of them."""

    def __init__(self, cap: int) -> None:
        self._newest = NewestEvents(cap)
        self.dropped: Counts = collections.Counter()
        self.actions: list[Action] = []  # those of the log, each once
        self.impressions: list[Impression] = []

    def add(self, event: Event, times: int = 1) -> None:
        """Takes an event that came so often."""
        self._newest.add(event, times)

    def log(self, user_id: str, join: JoinConfig) -> UserLog:
        """The user's events in order, joined."""
        kept = list(self._newest.drain())
        for stream, times in self._newest.left_out().items():
            self.dropped[stream, "excluded", "over user cap"] += times
        impressions = [(event, times) for event, times in kept if isinstance(event, Impression)]
        for event, times in kept:
            if not isinstance(event, Impression):
                self.dropped[stream_of(event), "excluded", "duplicate"] += times - 1
        searches = self._merge_pages(event for event, _ in kept if isinstance(event, Search))
        self.actions = [event for event, _ in kept if isinstance(event, Action)]
        self.impressions = [event for event, _ in impressions]
        shown = self._shown(impressions, searches)
        requests = [
            Request(one.ts, one.request_id, one.query, shown.get(one.request_id) or one.results)
            for one in searches.values()
        ]
        return UserLog(user_id, requests, attribute(requests, self.actions, join))

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

    def _shown(
        self, impressions: Iterable[tuple[Impression, int]], request_ids: Container[str]
    ) -> dict[str, tuple[str, ...]]:
        """Each request's page, put together from its impressions."""
        pages: dict[str, set[tuple[int, str]]] = collections.defaultdict(set)
        for impression, times in impressions:
            if impression.request_id not in request_ids:
                self.dropped["impressions", "excluded", "no request"] += times
                continue
            page, place = pages[impression.request_id], (impression.position, impression.item_id)
            new = place not in page
            page.add(place)
            self.dropped["impressions", "used"] += new
            self.dropped["impressions", "excluded", "duplicate"] += times - new
        return {
            request_id: tuple(dict.fromkeys(item_id for _, item_id in sorted(page)))
            for request_id, page in pages.items()
        }
