"""The job's steps: rows by shard, what is known carried over, what is answered kept, shards put together."""

from __future__ import annotations

import collections
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow
from apache_beam.io.filesystems import FileSystems
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from preprocessing.parse import rejection
from preprocessing.records import Excluded, Rejected, pack, unpack
from preprocessing.shards import write_file
from serving.batch.rows import Row, shard_of
from serving.batch.sources import Load
from serving.batch.tables import CONTENT, Record, read_table, write_table

COUNTS, REJECTED, PARTS = "counts", "rejected", "parts"
_BUFFERED = 4_096
Count = tuple[tuple[str, ...], int]


class Refused(NamedTuple):
    """In place of a record: the model has no answer for a row."""

    reason: str
    row: Row


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
            windowed = WindowedValue(value, GlobalWindow().max_timestamp(), (GlobalWindow(),))
            yield windowed if tag is None else beam.pvalue.TaggedOutput(tag, windowed)

    def flush(self) -> Iterator[Any]:
        """What was collected."""
        raise NotImplementedError


class Parse(_Bundled):
    """(path, content) -> (shard, packed rows); and counts, and rejected records."""

    def __init__(self, load: Load, parse: Callable[[Any], Row], shards: int) -> None:
        self._load, self._parse, self._shards = load, parse, shards

    def start_bundle(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[int, list[Row]] = collections.defaultdict(list)
        self._counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        self._rejected: list[bytes] = []
        self._buffered = 0

    def process(self, element: tuple[str, Any]) -> Iterator[Any]:
        path, content = element
        for raw in content.to_pylist() if isinstance(content, pyarrow.Table) else (content,):
            self._take(raw, path)
        if self._buffered >= _BUFFERED:
            yield from self.flush()

    def _take(self, raw: Any, path: str) -> None:
        if isinstance(raw, bytes) and not raw.strip():
            return  # a blank line is no record
        self._counts["in",] += 1
        self._buffered += 1
        try:
            row = self._parse(self._load(raw))
        except Rejected as reason:
            self._counts["rejected", str(reason)] += 1
            self._rejected.append(rejection("input", str(reason), path, raw))
        except Excluded as rule:
            self._counts["excluded", str(rule)] += 1
        else:
            self._rows[shard_of(row.id, self._shards)].append(row)

    def flush(self) -> Iterator[Any]:
        for shard, rows in self._rows.items():
            yield shard, pack(rows)
        yield from (beam.pvalue.TaggedOutput(REJECTED, line) for line in self._rejected)
        yield from (beam.pvalue.TaggedOutput(COUNTS, count) for count in self._counts.items())
        self._clear()


class CarryOver(beam.DoFn):
    """(shard, packed rows) -> (shard, row) that are new or changed; the records of the others go into a part."""

    def __init__(self, id_name: str, folder: str, shards: int, known: Sequence[Known]) -> None:
        self._id_name, self._folder, self._shards, self._known = id_name, folder, shards, known

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        shard, batches = element
        counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        wanted: dict[str, Row] = {}
        rows = sorted(row for batch in batches for row in unpack(Row._make, batch))
        for row in rows:
            if row.id in wanted:
                reason = f"duplicate {self._id_name}"
                counts["rejected", reason] += 1
                yield beam.pvalue.TaggedOutput(REJECTED, rejection("input", reason, "", list(row.values)))
            wanted.setdefault(row.id, row)
        before: dict[str, bytes] = {}
        carried = []
        missing = dict(wanted)
        for known in self._of(shard):
            table = read_table(known.path)
            ids, contents = table[self._id_name].to_pylist(), table[CONTENT].to_pylist()
            if known.in_place:
                before.update((one, content) for one, content in zip(ids, contents, strict=True) if one in wanted)
            kept = []
            for one, content in zip(ids, contents, strict=True):
                kept.append(one in missing and missing[one].content == content)
                if kept[-1]:
                    del missing[one]
            carried.append(table.filter(pyarrow.array(kept, pyarrow.bool_())))
        if len(missing) < len(wanted):
            yield beam.pvalue.TaggedOutput(PARTS, (shard, _write_part(self._folder, shard, self._shards, carried)))
        for one, row in wanted.items():
            state = "added" if one not in before else "unchanged" if before[one] == row.content else "changed"
            counts[state,] += 1
        counts["computed",] += len(missing)
        yield from (beam.pvalue.TaggedOutput(COUNTS, count) for count in counts.items())
        yield from ((shard, row) for row in missing.values())

    def _of(self, shard: int) -> Iterator[Known]:
        """The files that may hold records of a shard; where the number of shards was another, any may."""
        return (one for one in self._known if one.shards != self._shards or one.shard == shard)


def _write_part(folder: str, shard: int, shards: int, tables: Sequence[pyarrow.Table]) -> str:
    path = FileSystems.join(folder, f"part-{shard:05d}-of-{shards:05d}-{uuid.uuid4().hex}.parquet")
    write_table(path, pyarrow.concat_tables(tables))
    return path


class KeepParts(_Bundled):
    """(shard, record or Refused) -> (shard, part): what is answered is on disk, and a run that breaks off keeps it."""

    def __init__(self, folder: str, shards: int, table: Callable[[Sequence[Record]], pyarrow.Table]) -> None:
        self._folder, self._shards, self._table = folder, shards, table

    def start_bundle(self) -> None:
        self._records: dict[int, list[Record]] = collections.defaultdict(list)
        self._refused: list[Refused] = []
        self._buffered = 0

    def process(self, element: tuple[int, Record | Refused]) -> Iterator[Any]:
        shard, answer = element
        if isinstance(answer, Refused):
            self._refused.append(answer)
        else:
            self._records[shard].append(answer)
        self._buffered += 1
        if self._buffered >= _BUFFERED:
            yield from self.flush()

    def flush(self) -> Iterator[Any]:
        for shard, records in self._records.items():
            yield shard, _write_part(self._folder, shard, self._shards, [self._table(records)])
        for reason, row in self._refused:
            yield beam.pvalue.TaggedOutput(REJECTED, rejection("input", reason, "", list(row.values)))
            yield beam.pvalue.TaggedOutput(COUNTS, (("rejected", reason), 1))
        self.start_bundle()


class Assemble(beam.DoFn):
    """(shard, parts) -> the shard's file, in the order of ids; gives its count."""

    def __init__(self, id_name: str, name: str) -> None:
        self._id_name, self._name = id_name, name  # the path, with a place for the shard

    def process(self, element: tuple[int, Iterable[str]]) -> Iterator[Count]:
        shard, parts = element
        table = pyarrow.concat_tables([read_table(path) for path in sorted(parts)]).sort_by(self._id_name)
        write_table(self._name.format(shard=shard), table)
        yield ("written",), len(table)


class WriteLines(beam.DoFn):
    """Lines, all of them -> one file of them, in order."""

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, element: tuple[Any, Iterable[bytes]]) -> Iterator[str]:
        write_file(self._path, (line + b"\n" for line in sorted(element[1])))
        yield self._path
