"""Users with their past: everything one user did comes together, and says which items it has to look up."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam

from preprocessing.config import PreprocessingConfig, TextConfig
from preprocessing.joins.click_positions import count_positions
from preprocessing.joins.look_up_items import LOOKUPS, Lookups
from preprocessing.joins.sketch_queries import QUERIES, sketch_of
from preprocessing.joins.split import Cuts
from preprocessing.joins.user_log import UserEvents, UserLog
from preprocessing.logs.heavy_users import HEAVY
from preprocessing.logs.newest_events import Event
from preprocessing.logs.parse import COUNTS
from preprocessing.logs.records import Action, Impression, Search
from preprocessing.shuffle.keyed_batches import KeyedBatches, Traffic
from preprocessing.shuffle.packing import unpack
from preprocessing.shuffle.partitions import Dealing
from preprocessing.shuffle.split_late import PartitionsOf, Sides, split_late

LOGS, TOKENS = "logs", "tokens"
_EVENTS: dict[str, type[Event]] = {"searches": Search, "actions": Action, "impressions": Impression}


class JoinUsers(beam.DoFn):
    """(key, batches by stream) -> logs in order, lookups of items, tokens of queries."""

    def __init__(self, config: PreprocessingConfig, users: Dealing, items: Dealing) -> None:
        self._config = config
        self._users = users
        self._items = items

    def setup(self) -> None:
        from preprocessing.joins import encode_strings

        self._count_grains = encode_strings.count_grains
        self._owners = {stream: _owner(kind._fields.index("user_id"), self._users) for stream, kind in _EVENTS.items()}
        self._owners[HEAVY] = _owner(0, self._users)
        self._logs: KeyedBatches[int] = KeyedBatches(1, Traffic(LOGS))
        self._lookups = Lookups(self._items, self._config.stages)

    def process(self, element: tuple[int, Iterable[tuple[str, bytes]]], cuts: Cuts) -> Iterator[Any]:
        key, batches = element
        for partition, sides in split_late(key, batches, self._users, self._owners):
            yield from self._join(key, self._users.rank_of(partition), sides, cuts)
            if self._logs.full:
                yield from _tagged(LOGS, self._logs.drain())
            if self._lookups.full:
                yield from _tagged(LOOKUPS, self._lookups.drain(key))
        yield from _tagged(LOGS, self._logs.drain())
        yield from _tagged(LOOKUPS, self._lookups.drain(key))

    def _join(self, key: int, rank: int, sides: Sides, cuts: Cuts) -> Iterator[Any]:
        users = self._gather(sides)
        counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        logs = []
        for user_id in sorted(users):
            log = users[user_id].log(user_id, self._config.join)
            counts.update(count_positions(log, cuts))
            logs.append(_without_idle_pages(log))
            counts.update(users.pop(user_id).dropped)
            counts.update([("attribution", action.attribution) for action in logs[-1].actions])
            self._logs.add(key, (rank, logs[-1].packable()), weight=logs[-1].size)
        self._lookups.add(rank, logs, cuts)
        queries = _training_queries(logs, cuts)
        yield beam.pvalue.TaggedOutput(QUERIES, sketch_of(queries))
        yield from _tagged(TOKENS, query_tokens(queries, self._config.text, self._count_grains))
        yield from _tagged(COUNTS, counts.items())

    def _gather(self, sides: Sides) -> dict[str, UserEvents]:
        users: dict[str, UserEvents] = collections.defaultdict(lambda: UserEvents(self._config.join.max_user_events))
        for stream, kind in _EVENTS.items():
            for batch in sides.get(stream, ()):
                for event in unpack(_maker(kind), batch):
                    users[event.user_id].add(event)
        for batch in sides.get(HEAVY, ()):
            for user_id, stream, times, event in unpack(tuple, batch):
                users[user_id].add(_maker(_EVENTS[stream])(event), times)
        return dict(users)


def _training_queries(logs: Iterable[UserLog], cuts: Cuts) -> collections.Counter[str]:
    requests = (request for log in logs for request in log.requests)
    return collections.Counter(request.query for request in requests if request.ts < cuts.validation)


def query_tokens(
    queries: Mapping[str, int], text: TextConfig, count_grains: Callable[..., dict[tuple[str, str], int]]
) -> Iterable[tuple[tuple[str, str], int]]:
    """((vocabulary, token), count) of queries that were asked so often."""
    return count_grains(queries, text.query_grains, text).items()


def _without_idle_pages(log: UserLog) -> UserLog:
    """Leaves out what was shown in requests that nobody answered: it makes no example, and would be joined in vain."""
    answered = {action.request for action in log.actions}
    requests = [
        request if place in answered else request._replace(results=()) for place, request in enumerate(log.requests)
    ]
    return log._replace(requests=requests)


def _maker(kind: type[Event]) -> Callable[[Any], Event]:
    return kind._make


def _owner(place: int, users: Dealing) -> PartitionsOf:
    return lambda event: (users.partition_of(event[place]),)


def _tagged(tag: str, values: Iterable[Any]) -> Iterator[beam.pvalue.TaggedOutput]:
    return (beam.pvalue.TaggedOutput(tag, value) for value in values)
