"""The newest events of one user, in whatever order they come: what falls out is out for good, wherever that is."""

from __future__ import annotations

import collections
from collections.abc import Iterator

from preprocessing.logs.records import Action, Impression, Search

Event = Search | Action | Impression
_IMPRESSIONS = 10  # for each search or action that is kept: a page shows many items
HELD = 2  # times the cap, before the oldest are left out


class NewestEvents:
    """A user's events, each once with how often it came, never more than twice the cap of them."""

    def __init__(self, cap: int) -> None:
        self._caps = {"events": cap, "impressions": _IMPRESSIONS * cap}
        self._events: dict[str, dict[tuple, tuple[Event, int]]] = {name: {} for name in self._caps}
        self._left_out: collections.Counter[str] = collections.Counter()

    def __len__(self) -> int:
        return sum(map(len, self._events.values()))

    def add(self, event: Event, times: int = 1) -> None:
        """Takes an event that came so often."""
        name = "impressions" if isinstance(event, Impression) else "events"
        events, rank = self._events[name], _rank(event)
        known, before = events.get(rank, (event, 0))
        events[rank] = min(known, event, key=_preference), before + times
        if len(events) > HELD * self._caps[name]:
            self._cut(name)

    def _cut(self, name: str) -> None:
        """Keeps the newest. As ranks are of content alone, one that falls out has a cap of others above it for good."""
        events = self._events[name]
        for rank in sorted(events)[: -self._caps[name]]:
            event, times = events.pop(rank)
            self._left_out[stream_of(event)] += times

    def drain(self) -> Iterator[tuple[Event, int]]:
        """The newest in order, each with how often it came, which are then no longer held."""
        for name, events in self._events.items():
            self._cut(name)
            self._events[name] = {}
            yield from (events[rank] for rank in sorted(events))

    def left_out(self) -> collections.Counter[str]:
        """How many of each stream fell out since this was last asked."""
        left_out, self._left_out = self._left_out, collections.Counter()
        return left_out


def stream_of(event: Event) -> str:
    """The stream an event came in."""
    return "searches" if isinstance(event, Search) else "actions" if isinstance(event, Action) else "impressions"


def _rank(event: Event) -> tuple:
    """By time, then by all that tells two events apart."""
    if isinstance(event, Search):
        return event.ts, 0, event.request_id, event.query, event.results
    if isinstance(event, Action):
        return event.ts, 1, event.item_id, event.action
    return event.ts, event.request_id, event.position, event.item_id


def _preference(event: Event) -> tuple:
    """Which of two events of one rank stays: an action that names its request, then what sorts first."""
    if isinstance(event, Action):
        return not event.request_id, event.request_id, event.source
    return (event.source,)
