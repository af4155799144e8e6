"""Users with their past: everything one user did comes together, and says which items it has to look up."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam

from preprocessing.config import PreprocessingConfig, StagesConfig, TextConfig
from preprocessing.joins.attribution import answers_by_request
from preprocessing.joins.click_positions import count_positions
from preprocessing.joins.count_vocabularies import QUERY
from preprocessing.joins.request_stages import labels_of, positives
from preprocessing.joins.split import Cuts
from preprocessing.joins.user_log import UserEvents, UserLog
from preprocessing.logs.parse import COUNTS, partition_of
from preprocessing.logs.records import Action, Impression, Search, pack, unpack

LOGS, LOOKUPS, TOKENS = "logs", "lookups", "tokens"
_EVENTS: dict[str, Callable[[Any], Search | Action | Impression]] = {
    "searches": Search._make,
    "actions": Action._make,
    "impressions": Impression._make,
}


class ItemLookup(NamedTuple):
    """A partition of users asks for an item, and says how often they chose it in the training time."""

    item_id: str
    user_partition: int
    actions: int
    positives: int


class JoinUsers(beam.DoFn):
    """(partition, batches by stream) -> logs in order, lookups of items, tokens of queries."""

    def __init__(self, config: PreprocessingConfig, item_partitions: int) -> None:
        self._config = config
        self._item_partitions = item_partitions

    def setup(self) -> None:
        from preprocessing.joins import encode_strings

        self._count_grains = encode_strings.count_grains

    def process(self, element: tuple[int, Mapping[str, Iterable[bytes]]], cuts: Cuts) -> Iterator[Any]:
        partition, batches = element
        users: dict[str, UserEvents] = collections.defaultdict(lambda: UserEvents(self._config.join.max_user_events))
        for stream, kind in _EVENTS.items():
            for batch in batches.get(stream, ()):
                for event in unpack(kind, batch):
                    users[event.user_id].add(event)
        counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        logs = []
        for user_id in sorted(users):
            log = users[user_id].log(user_id, self._config.join)
            counts.update(count_positions(log, cuts))
            logs.append(_without_idle_pages(log))
            counts.update(users[user_id].dropped)
            counts.update([("attribution", action.attribution) for action in logs[-1].actions])
        yield beam.pvalue.TaggedOutput(LOGS, (partition, pack(log.packable() for log in logs)))
        for lookups in self._lookups(partition, logs, cuts):
            yield beam.pvalue.TaggedOutput(LOOKUPS, lookups)
        for token in self._tokens(logs, cuts):
            yield beam.pvalue.TaggedOutput(TOKENS, token)
        for count in counts.items():
            yield beam.pvalue.TaggedOutput(COUNTS, count)

    def _lookups(self, partition: int, logs: Iterable[UserLog], cuts: Cuts) -> Iterator[tuple[int, bytes]]:
        """(item partition, its lookups): every item that was shown or acted on."""
        items: set[str] = set()
        actions: collections.Counter[str] = collections.Counter()
        chosen: collections.Counter[str] = collections.Counter()
        for log in logs:
            for request in log.requests:
                items.update(request.results)
            items.update([action.item_id for action in log.actions])
            actions.update([action.item_id for action in log.actions if action.effective_ts < cuts.validation])
            chosen.update(_training_positives(log, cuts, self._config.stages))
        by_partition: dict[int, list[ItemLookup]] = collections.defaultdict(list)
        for item_id in items:
            lookup = ItemLookup(item_id, partition, actions[item_id], chosen[item_id])
            by_partition[partition_of(item_id, self._item_partitions)].append(lookup)
        for item_partition, lookups in by_partition.items():
            yield item_partition, pack(lookups)

    def _tokens(self, logs: Iterable[UserLog], cuts: Cuts) -> Iterator[tuple[tuple[str, str], int]]:
        """((vocabulary, token), count) of the training time's queries, and the queries themselves."""
        requests = (request for log in logs for request in log.requests)
        queries = collections.Counter(request.query for request in requests if request.ts < cuts.validation)
        yield from query_tokens(queries, self._config.text, self._count_grains)


def query_tokens(
    queries: Mapping[str, int], text: TextConfig, count_grains: Callable[..., dict[tuple[str, str], int]]
) -> Iterator[tuple[tuple[str, str], int]]:
    """((vocabulary, token), count) of queries that were asked so often, and the queries themselves."""
    yield from count_grains(queries, text.query_grains, text).items()
    for query, count in queries.items():
        yield (QUERY, query), count


def _without_idle_pages(log: UserLog) -> UserLog:
    """Leaves out what was shown in requests that nobody answered: it makes no example, and would be joined in vain."""
    answered = {action.request for action in log.actions}
    requests = [
        request if place in answered else request._replace(results=()) for place, request in enumerate(log.requests)
    ]
    return log._replace(requests=requests)


def _training_positives(log: UserLog, cuts: Cuts, limits: StagesConfig) -> Iterator[str]:
    """The items that the training examples of a user will be written with as positives."""
    for place, answers in answers_by_request(log.actions).items():
        request = log.requests[place]
        if request.ts < cuts.validation:
            chosen = positives(request, labels_of(request, answers, cuts), limits)
            yield from (*chosen.ordered, *chosen.clicked)
