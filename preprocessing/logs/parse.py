"""Raw lines to compact batches, keyed for the shuffle; what cannot be used goes aside with its reason."""

from __future__ import annotations

import collections
import functools
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import orjson

from preprocessing.config_input import STREAM_FIELDS, InputConfig, StreamConfig
from preprocessing.logs import ubi
from preprocessing.logs.arrow_rows import records_of
from preprocessing.logs.documents import Document, document_of, loader
from preprocessing.logs.field_rules import FieldRules
from preprocessing.logs.ga4 import Ga4Parser
from preprocessing.logs.heavy_users import HEAVY, HeavyUsers
from preprocessing.logs.newest_events import Event
from preprocessing.logs.read_blocks import Block
from preprocessing.logs.records import (
    Action,
    Excluded,
    Impression,
    Item,
    Rejected,
    Search,
    TimeBounds,
    parse_action,
    parse_item,
    parse_search,
)
from preprocessing.shuffle.keyed_batches import KeyedBatches, Traffic, in_the_end
from preprocessing.shuffle.partitions import Dealing

COUNTS, REJECTED, TIMES = "counts", "rejected", "times"
KINDS: dict[type, str] = {Item: "catalog", Search: "searches", Action: "actions", Impression: "impressions"}
_HOUR_MS = 3_600_000
_KEPT_OF_RECORD = 2_000  # characters of a rejected record that are kept for the reader

Record = Item | Event
# (document, source, place in it, names of ignored values); a list where one document tells several things
Parse = Callable[[Document, str, int, list[str]], Record | Sequence[Record]]
Key = tuple[str, ...]
HourOfTimes = tuple[int, tuple[int, int, int]]  # (hour, (how many times, the first, the last))


def hour_of(ts: int) -> HourOfTimes:
    """One time by its hour."""
    return ts // _HOUR_MS, (1, ts, ts)


def parser(stream: str, config: InputConfig) -> Parse:
    """What reads one document of a stream."""
    bounds = TimeBounds.between(config.earliest, config.latest)
    if stream == "ubi":
        ubi_parser = ubi.UbiParser(config.ubi.item_id, config.ubi.position, config.ubi.actions, bounds)
        return lambda document, source, place, ignored: ubi_parser(document, source, ignored)
    if stream == "ga4":
        ga4_parser = Ga4Parser(config.ga4, bounds)
        return lambda document, source, place, ignored: ga4_parser(document, source, ignored)
    if stream == "catalog":
        return functools.partial(parse_item, described=config.description_words, vector_width=config.vector_width)
    if stream == "searches":
        keep = config.keep_empty_queries
        return lambda document, source, place, ignored: parse_search(document, bounds, source, keep)
    return lambda document, source, place, ignored: parse_action(document, bounds, source, ignored)


def document_loader(stream: str, config: InputConfig) -> Callable[[Any], Document]:
    """What turns a line of JSON or a plain dict into a document under our names."""
    if stream == "ubi":
        return ubi.load
    if stream == "ga4":
        return document_of
    settings: StreamConfig = getattr(config, stream) or StreamConfig(pattern="")
    load = loader(settings.columns)
    parts = (settings.extract, settings.values, settings.defaults, settings.constants)
    if not any(parts):
        return load
    meant = FieldRules(*parts)
    return lambda raw: meant(load(raw))


def rejected_record(stream: str, reason: str, source: str, record: Any) -> dict[str, str]:
    """What is told of a rejected record."""
    if isinstance(record, bytes):
        shown = record.decode("utf-8", errors="replace")
    elif isinstance(record, str):
        shown = record.encode("utf-8", errors="replace").decode("utf-8")
    else:
        try:
            shown = orjson.dumps(record, default=repr, option=orjson.OPT_NON_STR_KEYS).decode("utf-8")
        except TypeError:  # a number past 64 bits, half a character, a depth without end
            shown = reprlib.repr(record)
    return {"stream": stream, "reason": reason, "source": source, "record": shown[:_KEPT_OF_RECORD]}


def rejection(stream: str, reason: str, source: str, record: Any) -> bytes:
    """The same as one line of `rejected/`."""
    return orjson.dumps(rejected_record(stream, reason, source, record))


def _says_something(value: Any) -> bool:
    return bool(value) if isinstance(value, str | list | tuple) else value is not None


class ParseRecords(beam.DoFn):
    """Raw records -> tagged by kind: (key, batch); and counts, rejections, times of searches.

    An element is a plain dict, or a block of lines or rows as the readers give it.
    """

    def __init__(self, stream: str, config: InputConfig, user_cap: int, users: Dealing, items: Dealing) -> None:
        self._stream = stream
        self._config = config
        self._user_cap = user_cap
        self._users = users
        self._items = items

    def setup(self) -> None:
        self._load = document_loader(self._stream, self._config)
        self._parse = parser(self._stream, self._config)
        self._fields = STREAM_FIELDS.get(self._stream, ())
        self._batches: dict[str, KeyedBatches[int]] = {
            kind: KeyedBatches((self._items if kind == "catalog" else self._users).keys, Traffic(kind))
            for kind in (*KINDS.values(), HEAVY)
        }

    def start_bundle(self) -> None:
        self._counts: collections.Counter[Key] = collections.Counter()
        self._filled: collections.Counter[Key] = collections.Counter()  # which fields say something, together
        self._hours: dict[int, tuple[int, int, int]] = {}
        self._rejected: list[dict[str, str]] = []
        self._heavy = HeavyUsers(self._user_cap)

    def process(self, element: Document | Block) -> Iterator[Any]:
        if isinstance(element, Block):
            for place, raw in enumerate(records_of(element), element.place):
                self._take(raw, element.path, place)
        else:
            self._take(element, "", 0)
        if self._heavy.full:
            self._keep_heavy()
        for kind, batches in self._batches.items():
            if batches.full:
                yield from _drained(kind, batches)
        yield from self._told()

    def _take(self, raw: Any, path: str, place: int) -> None:
        self._counts[self._stream, "in"] += 1
        ignored: list[str] = []
        try:
            document = self._load(raw)
            self._filled[self._filled_of(document)] += 1
            parsed = self._parse(document, path, place, ignored)
        except Rejected as reason:
            self._counts[self._stream, "rejected", str(reason)] += 1
            self._rejected.append(rejected_record(self._stream, str(reason), path, raw))
        except Excluded as rule:
            self._counts[self._stream, "excluded", str(rule)] += 1
        else:
            self._keep_all(parsed if type(parsed) is list else (parsed,))  # type: ignore[arg-type]
            for name in ignored:
                self._counts[self._stream, "ignored", f"bad {name}"] += 1

    def _filled_of(self, document: Document) -> tuple[str, ...]:
        """The fields that say something; of a text, as most are, that is quick to tell."""
        values = zip(self._fields, map(document.get, self._fields), strict=True)
        return tuple([name for name, value in values if (value if type(value) is str else _says_something(value))])

    def _keep_heavy(self) -> None:
        """What is held of heavy users, to be shuffled as it is; what was left out is counted."""
        for record in self._heavy.drain():
            self._batches[HEAVY].add(self._users.key_of_id(record[0]), record)
        for stream, times in self._heavy.left_out().items():
            self._counts[stream, "excluded", "over user cap"] += times

    def _keep_all(self, records: Sequence[Record]) -> None:
        """What one document tells, all of one kind."""
        kind = KINDS[type(records[0])]
        if kind != self._stream:  # one stream that carries several, as UBI does
            self._counts[self._stream, "used", kind] += 1
            self._counts[kind, "in"] += len(records)
        for record in records:
            self._keep(kind, record)

    def _keep(self, kind: str, record: Record) -> None:
        if isinstance(record, Item):
            self._batches[kind].add(self._items.key_of_id(record.item_id), record)
        elif not self._heavy.holds(record):
            self._batches[kind].add(self._users.key_of_id(record.user_id), record)
        if isinstance(record, Search):
            hour = record.ts // _HOUR_MS
            count, first, last = self._hours.get(hour, (0, record.ts, record.ts))
            self._hours[hour] = count + 1, min(first, record.ts), max(last, record.ts)

    def _told(self) -> Iterator[Any]:
        for rejected in self._rejected:
            yield beam.pvalue.TaggedOutput(REJECTED, rejected)
        self._rejected = []

    def finish_bundle(self) -> Iterator[Any]:
        for names, count in self._filled.items():
            for name in names:
                self._counts[self._stream, "filled", name] += count
        self._keep_heavy()
        last: Iterable[Any] = (
            *(output for kind, batches in self._batches.items() for output in _drained(kind, batches)),
            *self._told(),
            *(beam.pvalue.TaggedOutput(COUNTS, count) for count in self._counts.items()),
            *(beam.pvalue.TaggedOutput(TIMES, hour) for hour in self._hours.items()),
        )
        for output in last:
            yield beam.pvalue.TaggedOutput(output.tag, in_the_end(output.value))


def _drained(kind: str, batches: KeyedBatches[int]) -> Iterator[Any]:
    for keyed in batches.drain():
        yield beam.pvalue.TaggedOutput(kind, keyed)
