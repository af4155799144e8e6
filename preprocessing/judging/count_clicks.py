"""How often each item was shown for each query at each place, and how often clicked there."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator

import apache_beam as beam

from preprocessing.config import JoinConfig
from preprocessing.data.stats import DEEPEST
from preprocessing.joins.attribution import answers_by_request
from preprocessing.joins.join_users import events_of_users, owners_of
from preprocessing.joins.user_log import UserLog
from preprocessing.shuffle.partitions import Dealing
from preprocessing.shuffle.split_late import split_late

Place = tuple[str, str, int]  # (query, item, place on the page, from 0)
Times = tuple[int, int]  # (shown, clicked)


class CountClicks(beam.DoFn):
    """(key, batches of events by kind) -> (place, times) of each partition's users."""

    def __init__(self, join: JoinConfig, users: Dealing) -> None:
        self._join = join
        self._users = users

    def process(self, element: tuple[int, Iterable[tuple[str, bytes]]]) -> Iterator[tuple[Place, Times]]:
        key, batches = element
        for _, sides in split_late(key, batches, self._users, owners_of(self._users)):
            shown: collections.Counter[Place] = collections.Counter()
            clicked: collections.Counter[Place] = collections.Counter()
            for user_id, events in events_of_users(sides, self._join.max_user_events).items():
                count_log(events.log(user_id, self._join), shown, clicked)
            yield from ((place, (times, clicked[place])) for place, times in shown.items())


def count_log(log: UserLog, shown: collections.Counter[Place], clicked: collections.Counter[Place]) -> None:
    """Adds a user's pages; an item that was acted on in any way was clicked, once a page."""
    answers = answers_by_request(log.actions)
    for number, request in enumerate(log.requests):
        if not request.query:
            continue
        acted_on = {action.item_id for action in answers.get(number, ())}
        for place, item_id in enumerate(request.results[:DEEPEST]):
            shown[request.query, item_id, place] += 1
            clicked[request.query, item_id, place] += item_id in acted_on


def add_times(times: Iterable[Times]) -> Times:
    """The sum of some."""
    shown = clicked = 0
    for one in times:
        shown, clicked = shown + one[0], clicked + one[1]
    return shown, clicked
