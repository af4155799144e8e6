"""The past of a log, from a state's files into the graph and out again: rows in batches, each side dealt to files."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.tfrecordio import ReadAllFromTFRecord

from preprocessing.data.record_files import framed, write_file
from preprocessing.shuffle.keyed_batches import KeyedBatches, in_the_end
from preprocessing.shuffle.packing import unpack
from preprocessing.shuffle.partitions import Dealing

USERS, ITEMS, TOKENS, WORDS, COUNTS, HOURS = SIDES = ("users", "items", "tokens", "words", "counts", "hours")
_FILES = 16  # of a side that the joins do not deal themselves


class Past(NamedTuple):
    """What a run starts from, or leaves; each a PCollection."""

    users: beam.PCollection  # (key, batch of PastUser)
    items: beam.PCollection  # (key, batch of PastItem)
    tokens: beam.PCollection  # ((vocabulary, token), count) of the queries of the training time
    words: beam.PCollection  # (vocabulary, words in the order of their ids)
    counts: beam.PCollection  # (what, how often) of the training time that the statistics go on from
    hours: beam.PCollection  # (hour, times) of searches


class PastFiles(NamedTuple):
    """Where the past is read; None: there is none yet."""

    folder: str | None


class ReadPast(beam.PTransform):
    """The files of a past -> `Past`."""

    def __init__(self, files: PastFiles, users: Dealing, items: Dealing) -> None:
        super().__init__()
        self._folder, self._users, self._items = files.folder, users, items

    def expand(self, root: beam.pvalue.PBegin) -> Past:
        found = FileSystems.match([FileSystems.join(self._folder, "*-*")])[0].metadata_list if self._folder else []
        paths = root | "Files of the past" >> beam.Create([file.path for file in found])
        # One read for all sides: a runner's steps cost a short day more than what they read.
        batches = paths | "Read the past" >> ReadAllFromTFRecord(with_filename=True)
        sides = batches | "Sides of the past" >> beam.FlatMap(_by_side).with_outputs(*SIDES)
        rows = {side: sides[side] for side in SIDES}
        for side, dealing in ((USERS, self._users), (ITEMS, self._items)):
            rows[side] |= f"Deal {side}" >> beam.ParDo(DealById(dealing))
        for side in (TOKENS, WORDS, COUNTS, HOURS):
            rows[side] |= f"Rows of {side}" >> beam.FlatMap(_rows)
        return Past(**rows)


def _by_side(named: tuple[str, bytes]) -> Iterator[beam.pvalue.TaggedOutput]:
    path, batch = named
    yield beam.pvalue.TaggedOutput(FileSystems.split(path)[1].split("-")[0], batch)


def _rows(batch: bytes) -> Iterator[tuple]:
    yield from unpack(tuple, batch)


class InBatches(beam.DoFn):
    """Rows -> (key, batch), an element of the shuffle or of a file."""

    def __init__(self, keys: int, key_of: Callable[[Any], int]) -> None:
        self._keys, self._key_of = keys, key_of

    def setup(self) -> None:
        self._batches: KeyedBatches[int] = KeyedBatches(self._keys)

    def process(self, row: Any) -> Iterator[tuple[int, bytes]]:
        self._batches.add(self._key_of(row), row)
        if self._batches.full:
            yield from self._batches.drain()

    def finish_bundle(self) -> Iterator[Any]:
        yield from map(in_the_end, self._batches.drain())


class DealById(InBatches):
    """Batches of rows whose ids come first -> (key, batch), as today's log is dealt."""

    def __init__(self, dealing: Dealing) -> None:
        super().__init__(dealing.keys, lambda row: dealing.key_of_id(row[0]))

    def process(self, batch: bytes) -> Iterator[tuple[int, bytes]]:
        for row in unpack(tuple, batch):
            yield from super().process(row)


def file_of(row: tuple) -> int:
    """The file that a row goes to where the joins do not say."""
    return zlib.crc32(repr(row[0]).encode()) % _FILES


class WritePast(beam.PTransform):
    """`Past` -> the paths of a state's files."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def expand(self, past: Past) -> beam.PCollection:
        sides = dict(zip(SIDES, past, strict=True))
        for side in (TOKENS, WORDS, COUNTS, HOURS):
            sides[side] |= f"Pack {side}" >> beam.ParDo(InBatches(_FILES, file_of))
        named = [rows | f"Name {side}" >> beam.Map(_named, side) for side, rows in sides.items()]
        return (
            named
            | "All of the past" >> beam.Flatten()
            | "By file" >> beam.GroupByKey()
            | "Write past" >> beam.Map(_write, self._folder)
        )


def _named(keyed: tuple[int, bytes], side: str) -> tuple[str, bytes]:
    key, batch = keyed
    return f"{side}-{key:05d}", batch


def _write(element: tuple[str, Any], folder: str) -> str:
    name, batches = element
    path = FileSystems.join(folder, name)
    write_file(path, (framed(batch) for batch in batches))
    return path
