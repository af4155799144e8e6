"""The job's steps: rows by shard, what is known carried over, what is answered kept, shards put together."""

from __future__ import annotations

import collections
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import orjson
import pyarrow
import pyarrow.compute
from apache_beam.io.filesystems import FileSystems

from preprocessing.data.record_files import write_file
from preprocessing.logs.arrow_rows import records_of
from preprocessing.logs.parse import rejected_record
from preprocessing.logs.read_blocks import Block
from preprocessing.logs.records import Excluded, Rejected
from preprocessing.shuffle.keyed_batches import in_the_end
from serving.batch.answer_files import PART, read_table, write_table
from serving.batch.feeds import Feed, write_feed
from serving.batch.inference import Answered
from serving.batch.input_files import Load
from serving.batch.rows import CONTENT, ID, Row, blocks, by_shard, unpack

COUNTS, REJECTED, PARTS = "counts", "rejected", "parts"
_BUFFERED = 4_096
Count = tuple[tuple[str, ...], int]


class Known(NamedTuple):
    """A file of records from before: of the output in place, or of a run that broke off."""

    path: str
    shard: int
    shards: int
    in_place: bool


class _Bundled(beam.DoFn):
    """Gives out by the bundle what it collects."""

    def finish_bundle(self) -> Iterator[Any]:
        for output in self.flush():
            tag, value = (output.tag, output.value) if isinstance(output, beam.pvalue.TaggedOutput) else (None, output)
            windowed = in_the_end(value)
            yield windowed if tag is None else beam.pvalue.TaggedOutput(tag, windowed)

    def flush(self) -> Iterator[Any]:
        """What was collected."""
        raise NotImplementedError


class Parse(_Bundled):
    """Blocks -> (shard, packed rows); and counts, and rejected records."""

    def __init__(
        self, load: Load, parse: Callable[[Mapping[str, Any]], Row], schema: pyarrow.Schema, shards: int
    ) -> None:
        self._load, self._parse, self._schema, self._shards = load, parse, schema, shards

    def start_bundle(self) -> None:
        self._rows: list[Row] = []
        self._counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        self._rejected: list[bytes] = []

    def process(self, element: Block) -> Iterator[Any]:
        raws = records_of(element)
        for raw in raws:
            try:
                self._rows.append(self._parse(self._load(raw)))
            except Rejected as reason:
                self._counts["rejected", str(reason)] += 1
                self._rejected.append(_rejection("input", str(reason), element.path, raw))
            except Excluded as rule:
                self._counts["excluded", str(rule)] += 1
        self._counts["in",] += len(raws)
        if len(self._rows) + len(self._rejected) >= _BUFFERED:
            yield from self.flush()

    def flush(self) -> Iterator[Any]:
        if self._rows:
            yield from by_shard(self._rows, self._schema, self._shards)
        yield from (beam.pvalue.TaggedOutput(REJECTED, line) for line in self._rejected)
        yield from (beam.pvalue.TaggedOutput(COUNTS, count) for count in self._counts.items())
        self.start_bundle()


class CarryOver(beam.DoFn):
    """(shard, packed rows) -> blocks of those that are new or changed; the answers to the others go into a part."""

    def __init__(self, id_name: str, folder: str, shards: int, known: Sequence[Known], block: int) -> None:
        self._id_name, self._folder, self._shards, self._known = id_name, folder, shards, known
        self._block = block

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        shard, packed = element
        rows = unpack(packed).sort_by([(ID, "ascending"), (CONTENT, "ascending")]).combine_chunks()
        first = _first_of_each(rows[ID])
        again = rows.filter(pyarrow.compute.invert(first))
        wanted = rows.filter(first)
        reason = f"duplicate {self._id_name}"
        counts = collections.Counter({("rejected", reason): len(again), ("added",): len(wanted)})
        for row in again.drop_columns([CONTENT]).to_pylist():
            yield beam.pvalue.TaggedOutput(REJECTED, _rejection("input", reason, "", row))
        missing, carried = wanted, []
        for known in self._of(shard):
            table = read_table(known.path)
            if known.in_place:
                found, equal = _compare(wanted, table, self._id_name)
                unchanged, changed = equal.sum(), (found & ~equal).sum()
                counts.update({("unchanged",): unchanged, ("changed",): changed, ("added",): -unchanged - changed})
            _, equal = _compare(missing, table, self._id_name)
            places = pyarrow.compute.index_in(missing[ID], value_set=table[self._id_name])
            carried.append(table.take(places.filter(pyarrow.array(equal))))
            missing = missing.filter(pyarrow.array(~equal))
        if len(missing) < len(wanted):
            yield beam.pvalue.TaggedOutput(PARTS, (shard, _write_part(self._folder, shard, self._shards, carried)))
        counts["computed",] = len(missing)
        yield from (beam.pvalue.TaggedOutput(COUNTS, (key, int(count))) for key, count in counts.items() if count)
        yield from blocks(shard, missing, self._block)

    def _of(self, shard: int) -> Iterator[Known]:
        """The files that may hold records of a shard; where the number of shards was another, any may."""
        return (one for one in self._known if one.shards != self._shards or one.shard == shard)


def _first_of_each(ids: pyarrow.ChunkedArray) -> pyarrow.Array:
    """Of sorted ids, which come for the first time, bool `[N]`."""
    differ = pyarrow.compute.not_equal(ids[1:], ids[:-1])
    return pyarrow.concat_arrays([pyarrow.array([True]), *differ.chunks])


def _compare(rows: pyarrow.Table, table: pyarrow.Table, id_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Which of N rows a table knows, and which of them with equal content, bool `[N]` each."""
    places = pyarrow.compute.index_in(rows[ID], value_set=table[id_name])
    equal = pyarrow.compute.equal(table[CONTENT].take(places), rows[CONTENT])
    return places.is_valid().to_numpy(), pyarrow.compute.fill_null(equal, False).to_numpy()


def _write_part(folder: str, shard: int, shards: int, tables: Sequence[pyarrow.Table]) -> str:
    path = FileSystems.join(folder, f"part-{shard:05d}-of-{shards:05d}-{uuid.uuid4().hex}{PART}")
    write_table(path, pyarrow.concat_tables(tables))
    return path


class KeepParts(_Bundled):
    """Answered -> (shard, part): what is answered is on disk, and a run that breaks off keeps it."""

    def __init__(self, folder: str, shards: int) -> None:
        self._folder, self._shards = folder, shards

    def start_bundle(self) -> None:
        self._tables: dict[int, list[pyarrow.Table]] = collections.defaultdict(list)
        self._refused: list[tuple[str, dict[str, Any]]] = []
        self._buffered = 0

    def process(self, element: Answered) -> Iterator[Any]:
        if len(element.rows):
            self._tables[element.shard].append(element.rows)
        self._refused += element.refused
        self._buffered += len(element.rows) + len(element.refused)
        if self._buffered >= _BUFFERED:
            yield from self.flush()

    def flush(self) -> Iterator[Any]:
        for shard, tables in self._tables.items():
            yield shard, _write_part(self._folder, shard, self._shards, tables)
        for reason, row in self._refused:
            yield beam.pvalue.TaggedOutput(REJECTED, _rejection("input", reason, "", row))
            yield beam.pvalue.TaggedOutput(COUNTS, (("rejected", reason), 1))
        self.start_bundle()


class Assemble(beam.DoFn):
    """(shard, parts) -> the shard's file, in the order of ids, and what a store is fed of it; gives its count."""

    def __init__(self, id_name: str, name: str, feed: Feed | None = None, feed_name: str = "") -> None:
        self._id_name, self._name = id_name, name  # the path, with a place for the shard
        self._feed, self._feed_name = feed, feed_name  # likewise

    def process(self, element: tuple[int, Iterable[str]]) -> Iterator[Count]:
        shard, parts = element
        table = pyarrow.concat_tables([read_table(path) for path in sorted(parts)]).sort_by(self._id_name)
        write_table(self._name.format(shard=shard), table)
        if self._feed is not None:
            write_feed(self._feed_name.format(shard=shard), self._feed, table)
        yield ("written",), len(table)


class WriteLines(beam.DoFn):
    """Lines, all of them -> one file of them, in order."""

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, element: tuple[Any, Iterable[bytes]]) -> Iterator[str]:
        write_file(self._path, (line + b"\n" for line in sorted(element[1])))
        yield self._path


def _rejection(*what: Any) -> bytes:
    """One line of `rejected/`."""
    return orjson.dumps(rejected_record(*what))
