"""Requests to examples: each with its query, its user's past and its own items, all as ids."""

from __future__ import annotations

import collections
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from preprocessing.config import PreprocessingConfig
from preprocessing.encoding import Encoder, encoder
from preprocessing.examples import LENGTH, example, fragment
from preprocessing.history import HORIZONS, History, previous_queries
from preprocessing.join_items import KnownItem
from preprocessing.join_users import unpack_logs
from preprocessing.parse import COUNTS, REJECTED, rejection
from preprocessing.records import ORDER, days, pack, unpack
from preprocessing.shards import ShardKey, order_key, shard_of
from preprocessing.users import Deed, Request, UserLog
from preprocessing.vocabulary import ATTRIBUTES

EXAMPLES = "examples"
UNKNOWN_SHOWN = "shown_unknown_items"
Items = Mapping[str, KnownItem]
Stages = dict[str, list[str]]
Counts = collections.Counter[tuple[str, ...]]
_ITEM_FIELDS = slice(1, 1 + len(ATTRIBUTES))  # of a KnownItem


class BuildExamples(beam.DoFn):
    """(partition, logs and known items) -> (shard, examples), counts and late rejections."""

    def __init__(self, config: PreprocessingConfig, buckets: Mapping[str, int]) -> None:
        self._config = config
        self._buckets = dict(buckets)

    def process(
        self, element: tuple[int, Mapping[str, Iterable[bytes]]], words: Mapping[str, Sequence[str]], cut: int
    ) -> Iterator[Any]:
        _, sides = element
        items = {item.item_id: item for batch in sides["items"] for item in unpack(KnownItem._make, batch)}
        logs = [log for batch in sides["logs"] for log in unpack_logs(batch)]
        if not logs:
            return
        builder = ExampleBuilder(self._config, items, cut)
        builder.read_queries(logs, encoder(words, self._buckets, self._config.text))
        for log in logs:
            builder.add(log)
        for shard, records in builder.shards.items():
            yield beam.pvalue.TaggedOutput(EXAMPLES, (shard, pack(records)))
        for line in builder.rejected:
            yield beam.pvalue.TaggedOutput(REJECTED, line)
        for count in builder.counts.items():
            yield beam.pvalue.TaggedOutput(COUNTS, count)


class ExampleBuilder:
    """Makes the examples of one partition's users."""

    def __init__(self, config: PreprocessingConfig, items: Items, cut: int) -> None:
        self._config = config
        self._items = items
        self._cut = cut
        self._queries: dict[str, tuple[list[int], ...]] = {}
        self.shards: dict[ShardKey, list[tuple[bytes, bytes]]] = collections.defaultdict(list)
        self.rejected: list[bytes] = []
        self.counts: Counts = collections.Counter()

    def read_queries(self, logs: Iterable[UserLog], encode: Encoder) -> None:
        """Encodes every query of the partition once, in batches."""
        distinct = list(dict.fromkeys(request.query for log in logs for request in log.requests))
        found = encode.texts(distinct, self._config.text.query_grains)
        self._queries = dict(zip(distinct, found, strict=True))

    def add(self, log: UserLog) -> None:
        """All examples of one user."""
        deeds = self._known_deeds(log)
        self.counts["actions", "used"] += len(deeds)
        answers: dict[int, list[Deed]] = collections.defaultdict(list)
        for deed in deeds:
            answers[deed.request].append(deed)
        history = History(deeds, self._config.history)
        past = UserPast(log.requests, history, self)
        for index, request in enumerate(log.requests):
            stages = self._stages(request, answers.get(index, ()))
            if not stages["ordered"] and not stages["clicked"]:
                self.counts["searches", "excluded", "no positive"] += 1
                continue
            self._write(log.user_id, request, [*past.at(request.ts), self._stage_fragment(stages)])

    def _known_deeds(self, log: UserLog) -> list[Deed]:
        known = []
        for deed in log.deeds:
            if deed.item_id in self._items:
                known.append(deed)
                continue
            self.counts["actions", "rejected", "unknown item"] += 1
            record = {"ts": deed.ts, "user_id": log.user_id, "item_id": deed.item_id, "action": deed.action}
            self.rejected.append(rejection("actions", "unknown item", deed.source, record))
        return known

    def _stages(self, request: Request, answers: Iterable[Deed]) -> Stages:
        """The request's items by stage, best position first; no label comes from the other side of the cut."""
        training = request.ts < self._cut
        counted = [deed for deed in answers if not training or deed.effective < self._cut]
        place = {item_id: position for position, item_id in enumerate(request.results)}
        # An item acted on without having been logged as shown comes after those that were.
        chosen = sorted({deed.item_id for deed in counted}, key=lambda item: (place.get(item, len(place)), item))
        ordered = {deed.item_id for deed in counted if deed.action == ORDER}
        everything = {deed.item_id for deed in answers}
        limits = self._config.stages
        shown = (item for item in request.results if item not in everything and item in self._items)
        unknown = sum(item not in self._items for item in request.results)
        if unknown:
            self.counts[UNKNOWN_SHOWN,] += unknown
        return {
            "ordered": [item for item in chosen if item in ordered][: limits.ordered],
            "clicked": [item for item in chosen if item not in ordered][: limits.clicked],
            "shown": list(itertools.islice(shown, limits.shown)),
        }

    def _stage_fragment(self, stages: Stages) -> bytes:
        values: dict[str, list] = {}
        for stage, item_ids in stages.items():
            items = [self._items[item_id] for item_id in item_ids]
            self.count_length(stage, len(items))
            values[f"{stage}_item_id"] = [item_id.encode() for item_id in item_ids]
            values |= self._attributes(stage, items)
            values[f"{stage}_log_prob"] = [item.log_prob for item in items]
            for number, grain in enumerate(self._config.text.title_grains):
                titles = [item.title[number] for item in items]
                values |= nested(f"{stage}_title_{grain}", titles)
        return fragment(values)

    def _write(self, user_id: str, request: Request, fragments: list[bytes]) -> None:
        split = "train" if request.ts < self._cut else "eval"
        self.counts["searches", "used"] += 1
        self.counts["examples", split] += 1
        head: dict[str, list] = {
            "request_id": [request.request_id.encode()],
            "user_id": [user_id.encode()],
            "query": [request.query.encode()],
            "ts": [request.ts],
        }
        order = order_key(self._config.seed, f"{user_id}\n{request.request_id}")
        shards = self._config.output.train_shards if split == "train" else self._config.output.eval_shards
        record = example([fragment(head), self._query_fragment(request.query), *fragments])
        self.shards[shard_of(split, order, shards)].append((order, record))

    @functools.lru_cache(maxsize=4096)  # noqa: B019 (lives as long as one partition)
    def _query_fragment(self, query: str) -> bytes:
        grains = self._config.text.query_grains
        return fragment({f"query_{grain}": ids for grain, ids in zip(grains, self._queries[query], strict=True)})

    def horizon_fragment(self, horizons: Mapping[str, list[str]]) -> bytes:
        """The behaviours of some horizons."""
        values: dict[str, list] = {}
        for horizon, item_ids in horizons.items():
            values |= self._attributes(horizon, [self._items[item_id] for item_id in item_ids])
        return fragment(values)

    def past_queries_fragment(self, queries: Iterable[str]) -> bytes:
        """The words of previous queries."""
        word = self._config.text.query_grains.index("word")
        return fragment(nested("history_word", [self._queries[query][word] for query in queries]))

    def count_length(self, name: str, length: int) -> None:
        """For the quantiles of sequence lengths."""
        self.counts["length", name, str(length)] += 1

    @property
    def config(self) -> PreprocessingConfig:
        """What the examples are built by."""
        return self._config

    @staticmethod
    def _attributes(prefix: str, items: Sequence[KnownItem]) -> dict[str, list]:
        columns = zip(*(item[_ITEM_FIELDS] for item in items), strict=True) if items else [()] * len(ATTRIBUTES)
        return {f"{prefix}_{name}": column for name, column in zip(ATTRIBUTES, columns, strict=True)}  # type: ignore[misc]


class UserPast:
    """One user's past as fragments, the parts that hold all day made once a day."""

    def __init__(self, requests: Sequence[Request], history: History, builder: ExampleBuilder) -> None:
        self._times = [request.ts for request in requests]
        self._queries = [request.query for request in requests]
        self._history = history
        self._builder = builder
        self._until_today: tuple[int, bytes] = (-1, b"")

    def at(self, ts: int) -> list[bytes]:
        """The past strictly before `ts`."""
        builder, config = self._builder, self._builder.config.history
        horizons = self._history.at(ts)
        for horizon in HORIZONS:
            builder.count_length(horizon, len(horizons[horizon]))
        if self._until_today[0] != self._history.day:
            until_today = {name: items for name, items in horizons.items() if name != "realtime"}
            self._until_today = (self._history.day, builder.horizon_fragment(until_today))
        since = ts - days(config.long_days)
        queries = previous_queries(self._times, self._queries, ts, since, config.queries)
        builder.count_length("queries", len(queries))
        realtime = builder.horizon_fragment({"realtime": horizons["realtime"]})
        return [realtime, self._until_today[1], builder.past_queries_fragment(queries)]


def nested(name: str, rows: Sequence[Sequence[int]]) -> dict[str, list]:
    """A list of lists as its values and their lengths."""
    return {name: list(itertools.chain.from_iterable(rows)), name + LENGTH: [len(row) for row in rows]}
