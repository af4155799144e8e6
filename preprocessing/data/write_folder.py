"""Everything that examples are made with, staged as files whose content and order follow from the log alone."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import AsSingleton
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from preprocessing.config import PreprocessingConfig
from preprocessing.data.data_folder import COUNTS_FILE
from preprocessing.data.past_files import Past
from preprocessing.data.record_files import ShardKey, WriteRejected, WriteShard, order_key, shard_of, write_file
from preprocessing.shuffle.packing import pack

_REJECTED_SHARDS = 4
_BUFFERED = 8 << 20  # bytes of examples


class DataParts(NamedTuple):
    """What a data folder is made of, each a PCollection."""

    train: beam.PCollection  # (key, serialized tf.train.Example); a request's key is `user id <line break> request id`
    validation: beam.PCollection  # the same
    eval: beam.PCollection  # the same
    catalog: beam.PCollection  # (item id, serialized tf.train.Example) of each live item
    vocabularies: beam.PCollection  # (name, words, most frequent first); one that the log gave no word is missing
    rejected: beam.PCollection  # {"stream", "reason", "source", "record"}
    counts: beam.PCollection  # (what, how often), as in (("searches", "in"), 12)
    split: beam.PCollection  # one `joins.split.Split`
    past: Past | tuple[()] = ()  # what the next days need, where that is kept


class WriteDataFolder(beam.PTransform):
    """DataParts -> the paths of what was written to the folder `staging`."""

    def __init__(self, config: PreprocessingConfig, staging: str) -> None:
        super().__init__()
        self._config = config
        self._staging = staging

    def expand(self, parts: DataParts) -> beam.PCollection:
        rejected = (
            parts.rejected
            | "Rejected shard" >> beam.Map(_rejected_shard)
            | "By rejected shard" >> beam.GroupByKey()
            | "Write rejected" >> beam.ParDo(WriteRejected(self._staging))
        )
        words = parts.vocabularies | "Write vocabularies" >> beam.ParDo(WriteVocabulary(self._staging))
        counted, split = AsSingleton(parts.counts | beam.combiners.ToList()), AsSingleton(parts.split)
        counts = (
            parts.split.pipeline
            | "Counts file" >> beam.Create([FileSystems.join(self._staging, COUNTS_FILE)])
            | "Write counts" >> beam.Map(_write_counts, counted, split)
        )
        return (self._shards(parts), rejected, words, counts) | "All files" >> beam.Flatten()

    def _shards(self, parts: DataParts) -> beam.PCollection:
        shards, seed = shard_counts(self._config), self._config.seed
        packed = [
            getattr(parts, name) | f"Pack {name}" >> beam.ParDo(PackByShard(name, count, seed))
            for name, count in shards.items()
        ]
        every = [((name, shard, count), pack([])) for name, count in shards.items() for shard in range(count)]
        return (
            [*packed, parts.split.pipeline | "Every shard" >> beam.Create(every)]
            | "All examples" >> beam.Flatten()
            | "By shard" >> beam.GroupByKey()
            | "Write shards" >> beam.ParDo(WriteShard(self._staging))
        )


def shard_counts(config: PreprocessingConfig) -> dict[str, int]:
    """How many record files there are of each kind, also where nothing falls into one."""
    output = config.output
    return {
        "train": output.train_shards,
        "validation": output.validation_shards,
        "eval": output.eval_shards,
        "catalog": output.catalog_shards,
    }


class PackByShard(beam.DoFn):
    """(key, example) -> (shard, many (order, example) as one element): the shuffle moves few and compact elements."""

    def __init__(self, name: str, shards: int, seed: int) -> None:
        self._name = name
        self._shards = shards
        self._seed = seed

    def start_bundle(self) -> None:
        self._records: dict[ShardKey, list[tuple[bytes, bytes]]] = {}
        self._size = 0

    def process(self, element: tuple[str, bytes]) -> Iterator[tuple[ShardKey, bytes]]:
        key, example = element
        order = order_key(self._seed, key)
        self._records.setdefault(shard_of(self._name, order, self._shards), []).append((order, example))
        self._size += len(example)
        if self._size >= _BUFFERED:
            yield from self._packed()

    def _packed(self) -> Iterator[tuple[ShardKey, bytes]]:
        for shard, records in self._records.items():
            yield shard, pack(records)
        self.start_bundle()

    def finish_bundle(self) -> Iterator[Any]:
        for shard in self._packed():
            yield WindowedValue(shard, GlobalWindow().max_timestamp(), (GlobalWindow(),))


class WriteVocabulary(beam.DoFn):
    """(name, words) -> `<name>.txt`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, element: tuple[str, Iterable[str]]) -> Iterator[str]:
        name, words = element
        path = FileSystems.join(self._folder, f"vocab-{name}.txt")
        write_file(path, (f"{word}\n".encode() for word in words))
        yield path


def _rejected_shard(record: dict[str, str]) -> tuple[tuple[str, int], bytes]:
    line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    return (record["stream"], zlib.crc32(line) % _REJECTED_SHARDS), line


def _write_counts(
    path: str, counts: list[tuple[tuple[str, ...], int]], split: tuple[int, int, tuple[int, int], int]
) -> str:
    first, last, cuts, stray = split
    summed = sorted([*key, count] for key, count in counts)
    content = {"cuts": cuts, "times": [first, last], "stray": stray, "counts": summed}
    write_file(path, [json.dumps(content).encode()])
    return path
