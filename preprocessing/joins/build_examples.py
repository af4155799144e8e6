"""Requests to examples: each with its query, its user's past and its own items, all as ids."""

from __future__ import annotations

import collections
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from preprocessing.config import PreprocessingConfig
from preprocessing.data import example_proto
from preprocessing.data.example_proto import FeatureWriter
from preprocessing.data.features import ATTRIBUTE_COLUMNS, HORIZONS, LENGTH, STAGES, ItemsWriter, item_columns
from preprocessing.data.record_files import ShardKey, order_key, shard_of
from preprocessing.joins.history import History, previous_queries
from preprocessing.joins.join_items import KnownItem
from preprocessing.joins.users import Deed, Request, UserLog
from preprocessing.logs.parse import COUNTS, REJECTED, rejection
from preprocessing.logs.records import ORDER, days, pack, unpack

if TYPE_CHECKING:
    from preprocessing.joins.encode_strings import Encoder

EXAMPLES = "examples"
UNKNOWN_SHOWN = "shown_unknown_items"
Stages = dict[str, list[str]]
_attributes = operator.itemgetter(ATTRIBUTE_COLUMNS)


class BuildExamples(beam.DoFn):
    """(partition, logs and known items) -> (shard, examples), counts and late rejections."""

    def __init__(self, config: PreprocessingConfig, buckets: Mapping[str, int]) -> None:
        self._config = config
        self._buckets = dict(buckets)

    def setup(self) -> None:
        from preprocessing.joins import encode_strings

        self._encoder = encode_strings.encoder
        self._format = ExampleFormat(self._config)

    def process(
        self, element: tuple[int, Mapping[str, Iterable[bytes]]], words: Mapping[str, Sequence[str]], cut: int
    ) -> Iterator[Any]:
        _, sides = element
        items: dict[str, KnownItem] = dict(known for batch in sides["items"] for known in unpack(tuple, batch))
        logs = [log for batch in sides["logs"] for log in unpack(UserLog.unpacked, batch)]
        if not logs:
            return
        queries = self._encoded_queries(logs, self._encoder(words, self._buckets, self._config.text))
        builder = ExampleBuilder(self._config, self._format, items, queries, cut)
        for log in logs:
            builder.add(log)
        for shard, records in builder.shards.items():
            yield beam.pvalue.TaggedOutput(EXAMPLES, (shard, pack(records)))
        for line in builder.rejected:
            yield beam.pvalue.TaggedOutput(REJECTED, line)
        for count in builder.all_counts():
            yield beam.pvalue.TaggedOutput(COUNTS, count)

    def _encoded_queries(self, logs: Iterable[UserLog], encode: Encoder) -> EncodedQueries:
        """Every query of the partition once, in batches."""
        distinct = list(dict.fromkeys(request.query for log in logs for request in log.requests))
        grains = self._config.text.query_grains
        word = grains.index("word")
        encoded = {}
        for query, ids in zip(distinct, encode.texts(distinct, grains), strict=True):
            contents = [example_proto.ints(grain) for grain in ids]
            features = b"".join([write(one) for write, one in zip(self._format.query, contents, strict=True)])
            encoded[query] = (features, contents[word], example_proto.varint(len(ids[word])))
        return encoded


EncodedQueries = dict[str, tuple[bytes, bytes, bytes]]  # its features; its words and their number, for later requests


class ExampleFormat:
    """The writers of a request's features."""

    def __init__(self, config: PreprocessingConfig) -> None:
        columns = item_columns(config.text.title_grains)
        self.head = [FeatureWriter(name, "string") for name in ("request_id", "user_id", "query")]
        self.ts = FeatureWriter("ts", "int64")
        self.query = [FeatureWriter(f"query_{grain}", "int64") for grain in config.text.query_grains]
        self.past_queries = ItemsWriter("history", [("word", "int64"), (f"word{LENGTH}", "int64")])
        self.horizons = {name: ItemsWriter(name, columns[ATTRIBUTE_COLUMNS]) for name in HORIZONS}
        self.stages = {name: ItemsWriter(name, columns) for name in STAGES}


class ExampleBuilder:
    """Makes the examples of one partition's users."""

    def __init__(
        self,
        config: PreprocessingConfig,
        form: ExampleFormat,
        items: Mapping[str, KnownItem],
        queries: EncodedQueries,
        cut: int,
    ) -> None:
        self.config = config
        self._format = form
        self._items = items
        self._queries = queries
        self._cut = cut
        self.shards: dict[ShardKey, list[tuple[bytes, bytes]]] = collections.defaultdict(list)
        self.rejected: list[bytes] = []
        self.counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        self.lengths: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)

    def all_counts(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """What was counted, the lengths of sequences included."""
        yield from self.counts.items()
        for name, histogram in self.lengths.items():
            yield from ((("length", name, str(length)), count) for length, count in histogram.items())

    def add(self, log: UserLog) -> None:
        """All examples of one user."""
        deeds = self._known_deeds(log)
        self.counts["actions", "used"] += len(deeds)
        answers: dict[int, list[Deed]] = collections.defaultdict(list)
        for deed in deeds:
            answers[deed.request].append(deed)
        past = _Past(self, log.requests, History(deeds, self.config.history))
        for index, request in enumerate(log.requests):
            stages = self._stages(request, answers[index]) if index in answers else None
            if stages is None:
                self.counts["searches", "excluded", "no positive"] += 1
            else:
                self._write(log.user_id, request, past.at(request.ts), stages)

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

    def _stages(self, request: Request, answers: Iterable[Deed]) -> Stages | None:
        """The request's items by stage, best position first; no label comes from the other side of the cut."""
        training = request.ts < self._cut
        counted = [deed for deed in answers if not training or deed.effective < self._cut]
        if not counted:
            return None
        place = {item_id: position for position, item_id in enumerate(request.results)}
        # An item acted on without having been logged as shown comes after those that were.
        chosen = sorted({deed.item_id for deed in counted}, key=lambda item: (place.get(item, len(place)), item))
        ordered = {deed.item_id for deed in counted if deed.action == ORDER}
        answered = {deed.item_id for deed in answers}
        known = [item for item in request.results if item in self._items]
        self.counts[UNKNOWN_SHOWN,] += len(request.results) - len(known)
        limits = self.config.stages
        return {
            "ordered": [item for item in chosen if item in ordered][: limits.ordered],
            "clicked": [item for item in chosen if item not in ordered][: limits.clicked],
            "shown": [item for item in known if item not in answered][: limits.shown],
        }

    def _write(self, user_id: str, request: Request, past: bytes, stages: Stages) -> None:
        split = "train" if request.ts < self._cut else "eval"
        self.counts["searches", "used"] += 1
        self.counts["examples", split] += 1
        form = self._format
        head = (request.request_id, user_id, request.query)
        entries = [write(example_proto.strings([value.encode()])) for write, value in zip(form.head, head, strict=True)]
        entries += [form.ts(example_proto.varint(request.ts)), self._queries[request.query][0], past]
        self.lengths["positives"][len(stages["ordered"]) + len(stages["clicked"])] += 1
        for stage, item_ids in stages.items():
            self.lengths[stage][len(item_ids)] += 1
            entries.append(form.stages[stage]([self._items[item_id] for item_id in item_ids]))
        order = order_key(self.config.seed, f"{user_id}\n{request.request_id}")
        shards = self.config.output.train_shards if split == "train" else self.config.output.eval_shards
        self.shards[shard_of(split, order, shards)].append((order, example_proto.example(entries)))

    def horizon(self, name: str, item_ids: Sequence[str]) -> bytes:
        """The features of one horizon."""
        return self._format.horizons[name]([_attributes(self._items[item_id]) for item_id in item_ids])

    def past_queries(self, queries: Sequence[str]) -> bytes:
        """The features of the previous queries."""
        return self._format.past_queries([self._queries[query][1:] for query in queries])


class _Past:
    """One user's past as features, the part that holds all day made once a day."""

    def __init__(self, builder: ExampleBuilder, requests: Sequence[Request], history: History) -> None:
        self._builder = builder
        self._times = [request.ts for request in requests]
        self._queries = [request.query for request in requests]
        self._history = history
        self._config = builder.config.history
        self._until_today: tuple[int, bytes] = (-1, b"")

    def at(self, ts: int) -> bytes:
        """The features of the past strictly before `ts`."""
        builder = self._builder
        horizons = self._history.at(ts)
        for name in HORIZONS:
            builder.lengths[name][len(horizons[name])] += 1
        if self._until_today[0] != self._history.day:
            features = [builder.horizon(name, items) for name, items in horizons.items() if name != "realtime"]
            self._until_today = (self._history.day, b"".join(features))
        since = ts - days(self._config.long_days)
        queries = previous_queries(self._times, self._queries, ts, since, self._config.queries)
        builder.lengths["queries"][len(queries)] += 1
        today = builder.horizon("realtime", horizons["realtime"])
        return b"".join((today, self._until_today[1], builder.past_queries(queries)))
