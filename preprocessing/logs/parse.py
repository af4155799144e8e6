"""Raw lines to compact batches, keyed by partition; what cannot be used goes aside with its reason."""

from __future__ import annotations

import collections
import functools
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import orjson
import pyarrow
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from preprocessing.config import InputConfig, StreamConfig
from preprocessing.logs import ubi
from preprocessing.logs.documents import Document, loader
from preprocessing.logs.records import (
    Action,
    Excluded,
    Impression,
    Item,
    Rejected,
    Search,
    TimeBounds,
    pack,
    parse_action,
    parse_item,
    parse_search,
)

COUNTS, REJECTED, TIMES = "counts", "rejected", "times"
KINDS: dict[type, str] = {Item: "catalog", Search: "searches", Action: "actions", Impression: "impressions"}
_BUFFERED = 20_000
_KEPT_OF_RECORD = 2_000  # characters of a rejected record that are kept for the reader

Parse = Callable[..., tuple]  # (fields, source=path)
Key = tuple[str, ...]
Raw = Document | tuple[str, bytes | pyarrow.Table]


def partition_of(key: str, partitions: int) -> int:
    """The partition a user or an item belongs to; the same on every worker, unlike `hash`."""
    return zlib.crc32(key.encode()) % partitions


def parser(stream: str, config: InputConfig) -> Parse:
    """What reads one document of a stream."""
    bounds = TimeBounds.between(config.earliest, config.latest)
    if stream == "ubi":
        return ubi.UbiParser(config.ubi.item_id, config.ubi.position, config.ubi.actions, bounds)
    if stream == "catalog":
        return _parse_item
    if stream == "searches":
        return functools.partial(parse_search, bounds=bounds, keep_empty=config.keep_empty_queries)
    return functools.partial(parse_action, bounds=bounds)


def _parse_item(fields: Mapping[str, Any], source: str) -> Item:
    return parse_item(fields)


def document_loader(stream: str, config: InputConfig) -> Callable[[Any], Document]:
    """What turns a line of JSON or a plain dict into a document under our names."""
    if stream == "ubi":
        return ubi.load
    settings: StreamConfig | None = getattr(config, stream)
    return loader(settings.columns if settings is not None else {})


def rejected_record(stream: str, reason: str, source: str, record: Any) -> dict[str, str]:
    """What is told of a rejected record."""
    if isinstance(record, bytes):
        record = record.decode("utf-8", errors="replace")
    elif not isinstance(record, str):
        record = orjson.dumps(record, default=str).decode()
    return {"stream": stream, "reason": reason, "source": source, "record": record[:_KEPT_OF_RECORD]}


def rejection(stream: str, reason: str, source: str, record: Any) -> bytes:
    """The same as one line of `rejected/`."""
    return orjson.dumps(rejected_record(stream, reason, source, record))


class ParseRecords(beam.DoFn):
    """Raw records -> tagged by kind: (partition, batch); and counts, rejections, times of searches.

    An element is a plain dict, or as the readers give them (path, line of JSON) or (path, Arrow table).
    """

    def __init__(self, stream: str, config: InputConfig, user_partitions: int, item_partitions: int) -> None:
        self._stream = stream
        self._config = config
        self._user_partitions = user_partitions
        self._item_partitions = item_partitions

    def setup(self) -> None:
        self._load = document_loader(self._stream, self._config)
        self._parse = parser(self._stream, self._config)

    def start_bundle(self) -> None:
        self._counts: collections.Counter[Key] = collections.Counter()
        self._first, self._last = math.inf, -math.inf
        self._clear()

    def _clear(self) -> None:
        self._batches: dict[tuple[str, int], list[tuple]] = collections.defaultdict(list)
        self._rejected: list[dict[str, str]] = []
        self._buffered = 0

    def process(self, element: Raw) -> Iterator[Any]:
        path, content = element if isinstance(element, tuple) else ("", element)
        for raw in content.to_pylist() if isinstance(content, pyarrow.Table) else (content,):
            self._take(raw, path)
        if self._buffered >= _BUFFERED:
            yield from self._flush()

    def _take(self, raw: Any, path: str) -> None:
        if isinstance(raw, bytes) and not raw.strip():
            return  # a blank line is no record
        self._counts[self._stream, "in"] += 1
        try:
            record = self._parse(self._load(raw), source=path)
        except Rejected as reason:
            self._counts[self._stream, "rejected", str(reason)] += 1
            self._rejected.append(rejected_record(self._stream, str(reason), path, raw))
        except Excluded as rule:
            self._counts[self._stream, "excluded", str(rule)] += 1
        else:
            self._keep(record)
        self._buffered += 1

    def _keep(self, record: tuple) -> None:
        kind = KINDS[type(record)]
        if kind != self._stream:  # one stream that carries several, as UBI does
            self._counts[self._stream, "used", kind] += 1
            self._counts[kind, "in"] += 1
        if isinstance(record, Item):
            partition = partition_of(record.item_id, self._item_partitions)
        else:
            partition = partition_of(record.user_id, self._user_partitions)  # type: ignore[attr-defined]
        self._batches[kind, partition].append(record)
        if isinstance(record, Search):
            self._first, self._last = min(self._first, record.ts), max(self._last, record.ts)

    def _flush(self) -> Iterator[Any]:
        for (kind, partition), records in self._batches.items():
            yield beam.pvalue.TaggedOutput(kind, (partition, pack(records)))
        for rejected in self._rejected:
            yield beam.pvalue.TaggedOutput(REJECTED, rejected)
        self._clear()

    def finish_bundle(self) -> Iterator[Any]:
        last: Iterable[Any] = (
            *self._flush(),
            *(beam.pvalue.TaggedOutput(COUNTS, count) for count in self._counts.items()),
            *(beam.pvalue.TaggedOutput(TIMES, ts) for ts in (self._first, self._last) if math.isfinite(ts)),
        )
        for output in last:
            value = WindowedValue(output.value, GlobalWindow().max_timestamp(), (GlobalWindow(),))
            yield beam.pvalue.TaggedOutput(output.tag, value)
