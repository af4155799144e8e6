"""The Beam graph, top to bottom: `MakeExamples`, raw records in, everything that a data folder holds out.

    records -> parse -> by user -> logs, item lookups -> by item -> counted items -> vocabularies
                                                                 -> encoded items -> by user -> examples

Of a catalogue alone the items themselves ask, behind "counted items"; all else is the same.

Elements are batches of records, keyed by users or by items: the shuffle moves few and compact elements. A key of a
large log has many partitions; where it arrives it is split, and a worker holds one partition at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsDict, AsSingleton
from apache_beam.transforms.window import GlobalWindows

from preprocessing.command.console import nearest
from preprocessing.config import PreprocessingConfig
from preprocessing.data.past_files import ITEMS, USERS, Past, PastFiles, ReadPast
from preprocessing.data.stats import HISTOGRAMS, SAMPLED
from preprocessing.data.write_folder import DataParts
from preprocessing.joins.ask_items import CATALOGUE_SPLIT, AskItems
from preprocessing.joins.build_examples import BuildExamples
from preprocessing.joins.count_prices import CountPrices
from preprocessing.joins.count_vocabularies import CountTokens
from preprocessing.joins.encode_items import CATALOG, ENCODED, EncodeItems, SumTotals
from preprocessing.joins.grow_vocabularies import GrowVocabularies
from preprocessing.joins.join_items import JOINED, KEPT, PRICES, TOTALS, JoinItems
from preprocessing.joins.join_users import LOGS, TOKENS, JoinUsers
from preprocessing.joins.look_up_items import LOOKUPS
from preprocessing.joins.shared_encoder import SharedEncoder
from preprocessing.joins.sketch_queries import QUERIES, SketchQueries
from preprocessing.joins.split import EVAL, TRAIN, VALIDATION, SplitByTime
from preprocessing.joins.sum_past import SumPast
from preprocessing.logs.heavy_users import HEAVY
from preprocessing.logs.parse import COUNTS, KINDS, REJECTED, TIMES, ParseRecords
from preprocessing.logs.sources import Source
from preprocessing.logs.tables import Table
from preprocessing.shuffle.by_key import ByKey
from preprocessing.shuffle.keyed_batches import METRICS
from preprocessing.shuffle.partitions import Dealing

STREAMS = ("catalog", "searches", "actions", "ubi", "ga4")
_LEAST = 4
_KEY_BYTES, _MOST_KEYS = 32 << 20, 512  # so many that all machines have work, so few that batches stay large


class Partitions(NamedTuple):
    """How many pieces the joins are cut into: a worker holds one at a time, near 32 MB of raw log."""

    users: int = 16
    items: int = 4
    keys: int = _MOST_KEYS  # of each in the shuffle, at most

    @classmethod
    def of(cls, sources: Iterable[Source | Table], partition_mb: int) -> Partitions:
        """As many as the raw bytes ask for."""
        sizes = {"users": 0, "items": 0}
        for source in sources:
            sizes["items" if source.stream == "catalog" else "users"] += source.size
        users, items = (max(_LEAST, math.ceil(size / (partition_mb << 20))) for size in sizes.values())
        keys = min(_MOST_KEYS, max(_LEAST, math.ceil(max(sizes.values()) / _KEY_BYTES)))
        return cls(users, max(items, users // 8), keys)  # a log without a catalogue still names its items


class JoinedLog(NamedTuple):
    """Who asked for what, each a PCollection."""

    dealing: Dealing  # of who asks
    logs: beam.PCollection  # (key, logs of its partitions)
    items: beam.PCollection  # counted items, each with the partitions that look it up
    totals: beam.PCollection
    prices: beam.PCollection
    tokens: Sequence[beam.PCollection]
    queries: beam.PCollection  # sketches of them
    counts: Sequence[beam.PCollection]
    split: beam.PCollection
    cuts: AsSingleton  # of the split
    past: Past | None = None  # what the next days need, but for the words


class MakeExamples(beam.PTransform):
    """Raw records -> training-ready examples, as one step of any Beam pipeline.

    Takes PCollections by stream: "searches" and "actions", or "ubi" or "ga4" that hold both, and "catalog", without
    which items are known by their ids alone; "catalog" alone makes requests of its items' own words. An element is a
    plain dict as docs/data.md has it, names mapped by `config.input`, or a `Block` of them as the command's readers
    give it. Gives `DataParts`, over all the log in one global window.

        parts = {"catalog": catalog, "searches": searches, "actions": actions} | MakeExamples(PreprocessingConfig())
        parts.train | beam.Values() | beam.io.WriteToTFRecord("train")
        parts | WriteDataFolder(config, staging)  # what python -m preprocessing.pipeline does

    Args:
        config: the `preprocessing:` section of an experiment; its file patterns and shard counts are not used.
        partitions: into how many pieces users and items are dealt; more for a large log.
        past: of the days before, where the log is a day's and what the next days need is kept.
    """

    def __init__(
        self, config: PreprocessingConfig, partitions: Partitions | None = None, past: PastFiles | None = None
    ) -> None:
        super().__init__()
        self._config = config
        self._past = past
        partitions = partitions or Partitions()
        self._users, self._items = (Dealing.of(count, partitions.keys) for count in partitions[:2])

    def expand(self, streams: Mapping[str, beam.PCollection]) -> DataParts:
        config = self._config
        _check(streams)
        parsed = [self._parse(name, records) for name, records in streams.items()]
        log = self._ask_items(parsed) if set(streams) == {"catalog"} else self._join_log(parsed, "catalog" in streams)
        words = log.tokens | "All tokens" >> beam.Flatten() | CountTokens(config.vocabularies)
        if log.past is not None:
            words = {"known": log.past.words, "found": words} | GrowVocabularies(config.vocabularies)
        vocabularies = (words, log.prices | CountPrices(config.prices.least)) | "Tables of ids" >> beam.Flatten()
        of_queries = vocabularies | "Of queries" >> beam.Filter(_is_one_of, config.text.query_grains)
        totals = AsSingleton(log.totals | "Totals" >> beam.CombineGlobally(SumTotals()))
        encode = EncodeItems(config, SharedEncoder(config), log.dealing)
        build = BuildExamples(config, SharedEncoder(config), log.dealing)
        encoded = log.items | "Encode items" >> beam.ParDo(encode, AsDict(vocabularies), totals).with_outputs(
            ENCODED, CATALOG
        )
        examples = (
            {"logs": log.logs, "items": encoded[ENCODED]}
            | "Logs and items by user" >> ByKey()
            | "Build examples"
            >> beam.ParDo(build, AsDict(of_queries), log.cuts).with_outputs(TRAIN, VALIDATION, EVAL, REJECTED, COUNTS)
        )
        counts = [*(one[COUNTS] for one in parsed), *log.counts, examples[COUNTS], log.queries | SketchQueries()]
        return DataParts(
            train=examples[TRAIN],
            validation=examples[VALIDATION],
            eval=examples[EVAL],
            catalog=encoded[CATALOG],
            vocabularies=vocabularies,
            rejected=[*(one[REJECTED] for one in parsed), examples[REJECTED]] | "All rejected" >> beam.Flatten(),
            counts=counts | "All counts" >> beam.Flatten() | "Count" >> SumCounts(),
            split=log.split,
            past=log.past._replace(words=words) if log.past is not None else (),
        )

    def _join_log(self, parsed: Sequence[Any], has_catalog: bool) -> JoinedLog:
        """Users with what they did, and the items that these look up."""
        config, hours = self._config, _all(parsed, TIMES)
        past = hours.pipeline | ReadPast(self._past, self._users, self._items) if self._past is not None else None
        times = hours if past is None else (hours, past.hours) | "With past hours" >> beam.Flatten()
        split = times | "Split" >> SplitByTime(config.split, config.history.timezone_offset_h)
        cuts = _cuts(split)
        events = {kind: _all(parsed, kind) for kind in ("searches", "actions", "impressions", HEAVY)}
        users = (
            (events if past is None else {**events, USERS: past.users})
            | "By user" >> ByKey()
            | "Join users"
            >> beam.ParDo(JoinUsers(config, self._users, self._items, past is not None), cuts).with_outputs(
                LOGS, LOOKUPS, TOKENS, QUERIES, COUNTS, KEPT
            )
        )
        sides = {"catalog": _all(parsed, "catalog"), "lookups": users[LOOKUPS]}
        items = self._join_items(sides if past is None else {**sides, ITEMS: past.items}, has_catalog)
        tokens, counts = ((users[name], items[name]) for name in (TOKENS, COUNTS))
        joined = JoinedLog(
            self._users,
            logs=users[LOGS],
            items=items[JOINED],
            totals=items[TOTALS],
            prices=items[PRICES],
            tokens=tokens,
            queries=users[QUERIES],
            counts=counts,
            split=split,
            cuts=cuts,
        )
        return joined if past is None else _going_on(joined, past, users, items, hours)

    def _ask_items(self, parsed: Sequence[Any]) -> JoinedLog:
        """The same of a catalogue alone, whose items are asked for by their own words."""
        items = self._join_items({"catalog": _all(parsed, "catalog")}, has_catalog=True)
        asked = items[JOINED] | "Ask items" >> beam.ParDo(AskItems(self._config, self._items)).with_outputs(
            LOGS, JOINED, TOKENS, QUERIES, TIMES
        )
        split = asked[TIMES] | "Split" >> SplitByTime(CATALOGUE_SPLIT, 0)
        tokens = (asked[TOKENS], items[TOKENS])
        counts, cuts = (items[COUNTS],), _cuts(split)
        return JoinedLog(
            self._items,
            logs=asked[LOGS],
            items=asked[JOINED],
            totals=items[TOTALS],
            prices=items[PRICES],
            tokens=tokens,
            queries=asked[QUERIES],
            counts=counts,
            split=split,
            cuts=cuts,
        )

    def _join_items(self, sides: Mapping[str, beam.PCollection], has_catalog: bool) -> Any:
        return (
            sides
            | "By item" >> ByKey()
            | "Join items"
            >> beam.ParDo(JoinItems(self._config, self._items, has_catalog, self._past is not None)).with_outputs(
                JOINED, TOTALS, PRICES, TOKENS, COUNTS, KEPT
            )
        )

    def _parse(self, stream: str, records: beam.PCollection) -> Any:
        parse = ParseRecords(stream, self._config.input, self._config.join.max_user_events, self._users, self._items)
        outputs = (*KINDS.values(), HEAVY, REJECTED, COUNTS, TIMES)
        whole = records | f"All {stream} in one window" >> beam.WindowInto(GlobalWindows())
        return whole | f"Parse {stream}" >> beam.ParDo(parse).with_outputs(*outputs)


def _going_on(joined: JoinedLog, past: Past, users: Any, items: Any, hours: beam.PCollection) -> JoinedLog:
    """A day's log with what earlier days counted, and with what the next ones need."""
    today = {"tokens": users[TOKENS], "counts": users[COUNTS], "hours": hours}
    summed = today | SumPast(past)
    return joined._replace(
        tokens=(*joined.tokens, past.tokens),
        counts=(*joined.counts, past.counts),
        past=past._replace(users=users[KEPT], items=items[KEPT], **summed),
    )


def _check(streams: Iterable[str]) -> None:
    for name in streams:
        if name not in STREAMS:
            raise ValueError(f"MakeExamples: unknown stream {name!r}{nearest(name, STREAMS)}")
    if not ({"searches", "actions"} <= set(streams) or {"ubi", "ga4"} & set(streams) or set(streams) == {"catalog"}):
        raise ValueError('MakeExamples: give it "searches" and "actions", "ubi" or "ga4" with both, or "catalog" alone')


def _is_one_of(vocabulary: tuple[str, Sequence[str]], names: Sequence[str]) -> bool:
    return vocabulary[0] in names


def _cuts(split: beam.PCollection) -> AsSingleton:
    return AsSingleton(split | "Cuts alone" >> beam.Map(lambda split: split.cuts))


def _all(parsed: Iterable[Any], output: str) -> beam.PCollection:
    return [one[output] for one in parsed] | f"All {output}" >> beam.Flatten()


class SumCounts(beam.PTransform):
    """(what, how often) of many workers -> the sums; and while the job runs, counters for its runner to show."""

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        return counts | "As metrics" >> beam.ParDo(CountMetrics()) | "Sum" >> beam.CombinePerKey(sum)


class CountMetrics(beam.DoFn):
    """Adds each count to a counter of Beam's, such as `searches/rejected/bad ts`."""

    def setup(self) -> None:
        self._counters: dict[tuple[str, ...], Any] = {}

    def process(self, counted: tuple[tuple[str, ...], int]) -> Iterator[tuple[tuple[str, ...], int]]:
        key, count = counted
        if not count:
            return
        if key[0] not in (*HISTOGRAMS, SAMPLED):
            if key not in self._counters:
                self._counters[key] = Metrics.counter(METRICS, "/".join(key))
            self._counters[key].inc(count)
        yield counted
