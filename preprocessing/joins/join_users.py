"""Users with their past: everything one user did comes together, and says which items it has to look up."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam

from preprocessing.config import PreprocessingConfig, TextConfig
from preprocessing.data.past_files import USERS
from preprocessing.joins.attribution import NO_REQUEST
from preprocessing.joins.click_positions import count_positions
from preprocessing.joins.look_up_items import LOOKUPS, Lookups
from preprocessing.joins.past_users import Horizon, PastUser, past_of, with_past
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

LOGS, TOKENS, KEPT = "logs", "tokens", "kept"
_BYTES_A_RECORD = 32  # near what an event takes
_EVENTS: dict[str, type[Event]] = {"searches": Search, "actions": Action, "impressions": Impression}


class JoinUsers(beam.DoFn):
    """(key, batches by stream) -> logs in order, lookups of items, tokens of queries.

    With a past, of days before this log's, what the next days need of it is kept.
    """

    def __init__(self, config: PreprocessingConfig, users: Dealing, items: Dealing, keeps: bool = False) -> None:
        self._config = config
        self._users = users
        self._items = items
        self._keeps = keeps

    def setup(self) -> None:
        from preprocessing.joins import encode_strings

        self._count_grains = encode_strings.count_grains
        self._owners = {**owners_of(self._users), USERS: _owner(0, self._users)}
        self._kept: KeyedBatches[int] = KeyedBatches(1)
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
            if self._kept.full:
                yield from _tagged(KEPT, self._kept.drain())
        yield from _tagged(KEPT, self._kept.drain())
        yield from _tagged(LOGS, self._logs.drain())
        yield from _tagged(LOOKUPS, self._lookups.drain(key))

    def _join(self, key: int, rank: int, sides: Sides, cuts: Cuts) -> Iterator[Any]:
        users = events_of_users(sides, self._config.join.max_user_events)
        pasts = {past.user_id: past for batch in sides.get(USERS, ()) for past in unpack(PastUser._make, batch)}
        counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        logs = []
        for user_id in sorted(users.keys() | pasts.keys()):
            past = pasts.pop(user_id, None)
            if user_id not in users and past is not None and not past.waits:
                self._keep(key, past, cuts)
                continue
            events = users.pop(user_id, None) or UserEvents(self._config.join.max_user_events)
            log = with_past(events, past, user_id, self._config)
            if self._keeps:
                self._keep(key, past_of(log, events, cuts, self._config), cuts)
            counts.update(count_positions(log, cuts))
            counts.update(events.dropped)
            counts.update(_attributions(log))
            logs.append(needed(log))
            self._logs.add(key, (rank, logs[-1].packable()), weight=logs[-1].size)
        self._lookups.add(rank, logs, cuts)
        queries = _training_queries(logs, cuts)
        yield beam.pvalue.TaggedOutput(QUERIES, sketch_of(queries))
        yield from _tagged(TOKENS, query_tokens(queries, self._config.text, self._count_grains))
        yield from _tagged(COUNTS, counts.items())

    def _keep(self, key: int, past: PastUser | None, cuts: Cuts) -> None:
        if past is not None and past.newest >= Horizon.of(cuts, self._config).events:
            self._kept.add(key, past, weight=1 + len(past.events) // _BYTES_A_RECORD)


def owners_of(users: Dealing) -> dict[str, PartitionsOf]:
    """Which partitions the events of each side go to."""
    places = {stream: kind._fields.index("user_id") for stream, kind in _EVENTS.items()}
    return {side: _owner(place, users) for side, place in {**places, HEAVY: 0}.items()}


def events_of_users(sides: Sides, cap: int) -> dict[str, UserEvents]:
    """The events of a partition's users, of each the newest."""
    users: dict[str, UserEvents] = collections.defaultdict(lambda: UserEvents(cap))
    for stream, kind in _EVENTS.items():
        for batch in sides.get(stream, ()):
            for event in unpack(_maker(kind), batch):
                users[event.user_id].add(event)
    for batch in sides.get(HEAVY, ()):
        for user_id, stream, times, event in unpack(tuple, batch):
            users[user_id].add(_maker(_EVENTS[stream])(event), times)
    return dict(users)


def _training_queries(logs: Iterable[UserLog], cuts: Cuts) -> collections.Counter[str]:
    """The queries of the training time, but those that were counted on an earlier day."""
    return collections.Counter(
        request.query
        for log in logs
        for place, request in enumerate(log.requests)
        if request.ts < cuts.validation and place not in log.seen.counted
    )


def query_tokens(
    queries: Mapping[str, int], text: TextConfig, count_grains: Callable[..., dict[tuple[str, str], int]]
) -> Iterable[tuple[tuple[str, str], int]]:
    """((vocabulary, token), count) of queries that were asked so often."""
    return count_grains(queries, text.query_grains, text).items()


def _attributions(log: UserLog) -> Iterator[tuple[str, str]]:
    for place, action in enumerate(log.actions):
        if place not in log.seen.known_actions:
            yield "attribution", action.attribution


def needed(log: UserLog) -> UserLog:
    """Leaves out what makes no example and would be joined in vain.

    That are the pages of requests that nobody answered or that are written already, and where no request is to be
    written, the actions of the past.
    """
    to_write = {action.request for action in log.actions} - log.seen.written
    requests = [
        request if place in to_write else request._replace(results=()) for place, request in enumerate(log.requests)
    ]
    if to_write - {NO_REQUEST}:
        return log._replace(requests=requests)
    new = [action for place, action in enumerate(log.actions) if place not in log.seen.known_actions]
    seen = log.seen._replace(known_actions=frozenset(), counted_actions=frozenset())
    return log._replace(requests=requests, actions=new, seen=seen)


def _maker(kind: type[Event]) -> Callable[[Any], Event]:
    return kind._make


def _owner(place: int, users: Dealing) -> PartitionsOf:
    return lambda event: (users.partition_of(event[place]),)


def _tagged(tag: str, values: Iterable[Any]) -> Iterator[beam.pvalue.TaggedOutput]:
    return (beam.pvalue.TaggedOutput(tag, value) for value in values)
