"""The Beam graph: raw streams in, staged files out.

    lines -> parse -> by user -> logs, needs -> by item -> counted items -> vocabularies
                                                        -> known items   -> by user -> examples -> shards

Keys are partitions of users and of items, elements are batches of records: the shuffle moves few and compact
elements, and one worker holds one partition at a time, whatever the size of the log.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import AsDict, AsSingleton

from preprocessing.config import PreprocessingConfig, SplitConfig
from preprocessing.data.data_folder import COUNTS_FILE
from preprocessing.data.record_files import ShardKey, WriteRejected, WriteShard, write_file
from preprocessing.joins.build_examples import EXAMPLES, BuildExamples
from preprocessing.joins.count_vocabularies import CountTokens, WriteVocabulary
from preprocessing.joins.join_items import CATALOG, JOINED, KNOWN, TOTALS, EncodeItems, JoinItems
from preprocessing.joins.join_users import LOGS, NEEDS, TOKENS, JoinUsers
from preprocessing.logs.parse import COUNTS, KINDS, REJECTED, TIMES, ParseRecords
from preprocessing.logs.records import day_start, days, pack
from preprocessing.logs.sources import Read, Source

_REJECTED_SHARDS = 4
_LEAST_PARTITIONS = 4


class Partitions(NamedTuple):
    """How many pieces the joins are cut into."""

    users: int
    items: int

    @classmethod
    def of(cls, sources: Iterable[Source], partition_mb: int) -> Partitions:
        """As many as the raw bytes ask for."""
        sizes = {"users": 0, "items": 0}
        for source in sources:
            sizes["items" if source.stream == "catalog" else "users"] += source.size
        users, items = (max(_LEAST_PARTITIONS, math.ceil(size / (partition_mb << 20))) for size in sizes.values())
        return cls(users, max(items, users // 8))  # a log without a catalogue still names its items


class FirstAndLast(beam.CombineFn):
    """The earliest and the latest of some times."""

    def create_accumulator(self) -> tuple[float, float]:
        return math.inf, -math.inf

    def add_input(self, accumulator: tuple[float, float], ts: int) -> tuple[float, float]:
        return min(accumulator[0], ts), max(accumulator[1], ts)

    def merge_accumulators(self, accumulators: Iterable[tuple[float, float]]) -> tuple[float, float]:
        first, last = zip(*accumulators, strict=True)
        return min(first), max(last)

    def extract_output(self, accumulator: tuple[float, float]) -> tuple[float, float]:
        return accumulator


def cut_of(span: tuple[float, float], split: SplitConfig, offset_ms: int) -> int:
    """The moment from which requests are for evaluation."""
    first, last = span
    if first > last:
        return 0
    if split.eval_share is not None:
        return math.ceil(last - (last - first) * split.eval_share)
    return day_start(int(last), offset_ms) - days((split.eval_days or 1) - 1)


def build(
    root: beam.Pipeline, sources: Sequence[Source], config: PreprocessingConfig, staging: str
) -> list[beam.PCollection]:
    """Puts the whole graph under `root`; all files go to the folder `staging`. Returns what names them once written."""
    partitions = Partitions.of(sources, config.output.partition_mb)
    parsed = [_parse(root, source, config, partitions) for source in sources]
    streams = {kind: _flatten(parsed, kind) for kind in KINDS.values()}
    offset = round(config.history.timezone_offset_h * 3_600_000)
    span = _flatten(parsed, TIMES) | "Span of searches" >> beam.CombineGlobally(FirstAndLast())
    cut = AsSingleton(span | "Cut" >> beam.Map(cut_of, config.split, offset))
    users = (
        {kind: streams[kind] for kind in ("searches", "actions", "impressions")}
        | "By user" >> beam.CoGroupByKey()
        | "Join users" >> beam.ParDo(JoinUsers(config, partitions.items), cut).with_outputs(LOGS, NEEDS, TOKENS, COUNTS)
    )
    items = (
        {"catalog": streams["catalog"], "needs": users[NEEDS]}
        | "By item" >> beam.CoGroupByKey()
        | "Join items" >> beam.ParDo(JoinItems(config)).with_outputs(JOINED, TOTALS, TOKENS, COUNTS)
    )
    words, frequencies = (users[TOKENS], items[TOKENS]) | beam.Flatten() | CountTokens(config.vocabularies)
    vocabularies = AsDict(words)
    totals = AsSingleton(items[TOTALS] | "Total" >> beam.CombineGlobally(SumPairs()))
    buckets = config.vocabularies.hash_buckets()
    encoded = items[JOINED] | "Encode items" >> beam.ParDo(
        EncodeItems(config, buckets), vocabularies, totals
    ).with_outputs(KNOWN, CATALOG)
    examples = (
        {"logs": users[LOGS], "items": encoded[KNOWN]}
        | "Past and items by user" >> beam.CoGroupByKey()
        | "Build examples"
        >> beam.ParDo(BuildExamples(config, buckets), vocabularies, cut).with_outputs(EXAMPLES, REJECTED, COUNTS)
    )
    shards = _write_shards(root, [examples[EXAMPLES], encoded[CATALOG]], config, staging)
    written = words | "Write vocabularies" >> beam.ParDo(WriteVocabulary(staging))
    rejected = _write_rejected([*(one[REJECTED] for one in parsed), examples[REJECTED]], staging)
    counts = [*(one[COUNTS] for one in parsed), users[COUNTS], items[COUNTS], examples[COUNTS], frequencies]
    return [shards, written, rejected, _write_counts(root, counts, AsSingleton(span), cut, staging)]


def _parse(root: beam.Pipeline, source: Source, config: PreprocessingConfig, partitions: Partitions) -> Any:
    parse = ParseRecords(source, config.input, partitions.users, partitions.items)
    outputs = (*KINDS.values(), REJECTED, COUNTS, TIMES)
    return root | Read(source) | f"Parse {source.stream}" >> beam.ParDo(parse).with_outputs(*outputs)


def _flatten(parsed: Sequence[Any], output: str) -> beam.PCollection:
    return [one[output] for one in parsed] | f"All {output}" >> beam.Flatten()


class SumPairs(beam.CombineFn):
    """Sums pairs of numbers."""

    def create_accumulator(self) -> tuple[int, int]:
        return 0, 0

    def add_input(self, accumulator: tuple[int, int], pair: tuple[int, int]) -> tuple[int, int]:
        return accumulator[0] + pair[0], accumulator[1] + pair[1]

    def merge_accumulators(self, accumulators: Iterable[tuple[int, int]]) -> tuple[int, int]:
        first, second = zip(*accumulators, strict=True)
        return sum(first), sum(second)

    def extract_output(self, accumulator: tuple[int, int]) -> tuple[int, int]:
        return accumulator


def shard_keys(config: PreprocessingConfig) -> list[ShardKey]:
    """Every record file there is to be, also where nothing falls into it."""
    output = config.output
    counts = {"train": output.train_shards, "eval": output.eval_shards, "catalog": output.catalog_shards}
    return [(name, shard, shards) for name, shards in counts.items() for shard in range(shards)]


def _write_shards(
    root: beam.Pipeline, records: Sequence[beam.PCollection], config: PreprocessingConfig, staging: str
) -> beam.PCollection:
    empty = root | "Every shard" >> beam.Create([(key, pack([])) for key in shard_keys(config)])
    return (
        [*records, empty]
        | "All examples" >> beam.Flatten()
        | "By shard" >> beam.GroupByKey()
        | "Write shards" >> beam.ParDo(WriteShard(staging))
    )


def _rejected_shard(line: bytes) -> tuple[tuple[str, int], bytes]:
    return (json.loads(line)["stream"], zlib.crc32(line) % _REJECTED_SHARDS), line


def _write_rejected(rejected: Sequence[beam.PCollection], staging: str) -> beam.PCollection:
    return (
        rejected
        | "All rejected" >> beam.Flatten()
        | "Rejected shard" >> beam.Map(_rejected_shard)
        | "By rejected shard" >> beam.GroupByKey()
        | "Write rejected" >> beam.ParDo(WriteRejected(staging))
    )


def _write_counts(
    root: beam.Pipeline, counts: Sequence[beam.PCollection], span: AsSingleton, cut: AsSingleton, staging: str
) -> beam.PCollection:
    summed = counts | "All counts" >> beam.Flatten() | "Sum counts" >> beam.CombinePerKey(sum) | beam.combiners.ToList()
    return (
        root
        | beam.Create([COUNTS_FILE])
        | "Write counts" >> beam.FlatMap(_write_counts_file, staging, AsSingleton(summed), span, cut)
    )


def _write_counts_file(
    name: str, staging: str, counts: list[tuple[tuple[str, ...], int]], span: tuple[float, float], cut: int
) -> Iterator[str]:
    times = [int(ts) for ts in span if math.isfinite(ts)]
    content = {"cut": cut, "times": times, "counts": sorted([*key, count] for key, count in counts)}
    path = FileSystems.join(staging, name)
    write_file(path, [json.dumps(content).encode()])
    yield path
