"""Everything that examples are made with, staged as files whose content and order follow from the log alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import AsSingleton

from preprocessing.config import PreprocessingConfig
from preprocessing.data.data_folder import COUNTS_FILE
from preprocessing.data.deal_shards import DealShards
from preprocessing.data.keep_rejected import KeepRejected
from preprocessing.data.past_files import Past
from preprocessing.data.record_files import WriteRejected, WriteShard, write_file


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
        rejected = parts.rejected | KeepRejected(self._config.output.rejected_lines)
        rejected = rejected | "Write rejected" >> beam.ParDo(WriteRejected(self._staging))
        kinds = {name: getattr(parts, name) for name in ("train", "validation", "eval", "catalog")}
        shards = kinds | DealShards(self._config) | "Write shards" >> beam.ParDo(WriteShard(self._staging))
        words = parts.vocabularies | "Write vocabularies" >> beam.ParDo(WriteVocabulary(self._staging))
        counted, split = AsSingleton(parts.counts | beam.combiners.ToList()), AsSingleton(parts.split)
        files = AsSingleton(shards | "Records by file" >> beam.combiners.ToList())
        counts = (
            parts.split.pipeline
            | "Counts file" >> beam.Create([FileSystems.join(self._staging, COUNTS_FILE)])
            | "Write counts" >> beam.Map(_write_counts, counted, split, files)
        )
        return (shards | "Record files" >> beam.Keys(), rejected, words, counts) | "All files" >> beam.Flatten()


class WriteVocabulary(beam.DoFn):
    """(name, words) -> `<name>.txt`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, element: tuple[str, Iterable[str]]) -> Iterator[str]:
        name, words = element
        path = FileSystems.join(self._folder, f"vocab-{name}.txt")
        write_file(path, (f"{word}\n".encode() for word in words))
        yield path


def _write_counts(
    path: str,
    counts: list[tuple[tuple[str, ...], int]],
    split: tuple[int, int, tuple[int, int], int],
    files: list[tuple[str, int]],
) -> str:
    first, last, cuts, stray = split
    summed = sorted([*key, count] for key, count in counts)
    by_file = {FileSystems.split(file)[1]: records for file, records in sorted(files)}
    content = {"cuts": cuts, "times": [first, last], "stray": stray, "counts": summed, "files": by_file}
    write_file(path, [json.dumps(content).encode()])
    return path
