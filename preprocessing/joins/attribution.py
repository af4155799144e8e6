"""Which request each action of a user answers.

* An action that names one of the user's requests belongs to it, if it comes within `request_window_s` after it (or
  seems up to `clock_skew_s` before it); past that it is history alone.
* One that names none of the user's requests belongs to the newest request within `fallback_window_s` that showed the
  item; where there is none it is history alone.
* An action never takes effect before the request it answers, so a skewed clock cannot show a request its own answer.
"""

from __future__ import annotations

import bisect
import collections
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from preprocessing.config import JoinConfig
from preprocessing.logs.records import Action

NO_REQUEST = -1


class Request(NamedTuple):
    """A search of one user, with all it showed."""

    ts: int
    request_id: str
    query: str
    results: tuple[str, ...]


class AttributedAction(NamedTuple):
    """An action in its user's history, from the moment it takes effect."""

    effective_ts: int
    item_id: str
    action: str
    ts: int
    request: int  # its place among the user's requests, or NO_REQUEST
    named: bool  # whether the log itself says which request it answers
    source: str

    @property
    def attribution(self) -> str:
        """How it found its request, for the statistics."""
        if self.request == NO_REQUEST:
            return "history alone"
        return "named its request" if self.named else "fell back on a page"


def attribute(requests: Sequence[Request], actions: Sequence[Action], join: JoinConfig) -> list[AttributedAction]:
    """The actions in order of effect; `requests` are in order of time."""
    place_of = {request.request_id: place for place, request in enumerate(requests)}
    nameless = {action.item_id for action in actions if action.request_id not in place_of}
    pages = PagesByItem(requests, nameless)
    attributed = []
    for action in actions:
        named = place_of.get(action.request_id)
        if named is None:
            place = pages.newest(action.item_id, action.ts, join.fallback_window_s * 1000)
        else:
            place = named if _in_time(requests[named], action, join) else NO_REQUEST
        effective = action.ts if place == NO_REQUEST else max(action.ts, requests[place].ts)
        attributed.append(
            AttributedAction(
                effective, action.item_id, action.action, action.ts, place, named is not None, action.source
            )
        )
    return sorted(attributed)


def answers_by_request(actions: Iterable[AttributedAction]) -> dict[int, list[AttributedAction]]:
    """The actions on each request, by its place; those that answer none are left out."""
    answers: dict[int, list[AttributedAction]] = collections.defaultdict(list)
    for action in actions:
        if action.request != NO_REQUEST:
            answers[action.request].append(action)
    return dict(answers)


def _in_time(request: Request, action: Action, join: JoinConfig) -> bool:
    return -join.clock_skew_s * 1000 <= action.ts - request.ts <= join.request_window_s * 1000


class PagesByItem:
    """Which of a user's requests showed an item, so that no action has to look through pages."""

    def __init__(self, requests: Sequence[Request], items: Iterable[str]) -> None:
        wanted = set(items)
        self._times: dict[str, list[int]] = collections.defaultdict(list)
        self._places: dict[str, list[int]] = collections.defaultdict(list)
        if not wanted:
            return
        for place, request in enumerate(requests):
            for item_id in wanted.intersection(request.results):
                self._times[item_id].append(request.ts)
                self._places[item_id].append(place)

    def newest(self, item_id: str, ts: int, window: int) -> int:
        """The place of the newest request in `[ts - window, ts]` that showed the item."""
        times = self._times.get(item_id, [])
        found = bisect.bisect_right(times, ts) - 1
        if found < 0 or times[found] < ts - window:
            return NO_REQUEST
        return self._places[item_id][found]
