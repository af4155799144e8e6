"""Users with their past: everything one user did comes together, and says which items it needs to know."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam

from preprocessing.config import PreprocessingConfig
from preprocessing.joins.users import UserEvents, UserLog
from preprocessing.logs.parse import COUNTS, partition_of
from preprocessing.logs.records import Action, Impression, Search, pack, unpack

LOGS, NEEDS, TOKENS = "logs", "needs", "tokens"
_EVENTS: dict[str, Callable[[Any], Search | Action | Impression]] = {
    "searches": Search._make,
    "actions": Action._make,
    "impressions": Impression._make,
}


class JoinUsers(beam.DoFn):
    """(partition, batches by stream) -> logs in order, items needed with their counts, tokens of queries."""

    def __init__(self, config: PreprocessingConfig, item_partitions: int) -> None:
        self._config = config
        self._item_partitions = item_partitions

    def setup(self) -> None:
        from preprocessing.joins import encode_strings

        self._count_grains = encode_strings.count_grains

    def process(self, element: tuple[int, Mapping[str, Iterable[bytes]]], cut: int) -> Iterator[Any]:
        partition, batches = element
        users: dict[str, UserEvents] = collections.defaultdict(lambda: UserEvents(self._config.join.max_user_events))
        for stream, kind in _EVENTS.items():
            for batch in batches.get(stream, ()):
                for event in unpack(kind, batch):
                    users[event.user_id].add(event)
        counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        logs = []
        for user_id in sorted(users):
            logs.append(_without_idle_pages(users[user_id].log(user_id, self._config.join)))
            counts.update(users[user_id].dropped)
        yield beam.pvalue.TaggedOutput(LOGS, (partition, pack(log.packable() for log in logs)))
        for need in self._needs(partition, logs, cut):
            yield beam.pvalue.TaggedOutput(NEEDS, need)
        for token in self._tokens(logs, cut):
            yield beam.pvalue.TaggedOutput(TOKENS, token)
        for count in counts.items():
            yield beam.pvalue.TaggedOutput(COUNTS, count)

    def _needs(self, partition: int, logs: Iterable[UserLog], cut: int) -> Iterator[tuple[int, bytes]]:
        """What to ask of each item partition: (item, who asks, deeds and positives of the training time)."""
        needed: set[str] = set()
        deeds: collections.Counter[str] = collections.Counter()
        positives: collections.Counter[str] = collections.Counter()
        for log in logs:
            for request in log.requests:
                needed.update(request.results)
            needed.update([deed.item_id for deed in log.deeds])
            deeds.update([deed.item_id for deed in log.deeds if deed.effective < cut])
            positives.update([item_id for _, item_id in _training_positives(log, cut)])
        asked: dict[int, list[tuple]] = collections.defaultdict(list)
        for item_id in needed:
            need = (item_id, partition, deeds[item_id], positives[item_id])
            asked[partition_of(item_id, self._item_partitions)].append(need)
        for item_partition, needs in asked.items():
            yield item_partition, pack(needs)

    def _tokens(self, logs: Iterable[UserLog], cut: int) -> Iterator[tuple[tuple[str, str], int]]:
        """((vocabulary, token), count) of the training time's queries, and the queries themselves."""
        queries = collections.Counter(request.query for log in logs for request in log.requests if request.ts < cut)
        text = self._config.text
        yield from self._count_grains(queries, text.query_grains, text).items()
        for query, count in queries.items():
            yield ("query", query), count


def _without_idle_pages(log: UserLog) -> UserLog:
    """Leaves out what was shown in requests that nobody answered: it makes no example, and would be joined in vain."""
    answered = {deed.request for deed in log.deeds}
    requests = [
        request if index in answered else request._replace(results=()) for index, request in enumerate(log.requests)
    ]
    return log._replace(requests=requests)


def _training_positives(log: UserLog, cut: int) -> set[tuple[int, str]]:
    """(request, item) pairs that were acted on before the cut."""
    return {(deed.request, deed.item_id) for deed in log.deeds if deed.request >= 0 and deed.effective < cut}
