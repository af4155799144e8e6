"""Reads files by the block of records, each with its place: to hand on a line alone would cost more than to parse it.

Beam's own readers give lines without their place in the file, and take a gzip file that breaks off for a whole one.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple, cast

import apache_beam as beam
import pyarrow
import pyarrow.parquet
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from preprocessing.logs.avro_blocks import AVRO, BROKEN, avro_blocks

PARQUET = ".parquet"
COMPRESSED = (".gz", ".bz2", ".zst")
_SPAN = 4 << 20  # bytes of a text that are read in one go: workers share even one file
_SPAN_ROWS = 65_536  # of a Parquet file, whose row groups may be of any size
_ROWS = 4_096  # of them that are held at a time
_COLUMN_BUFFER = 1 << 20  # bytes of each column of a row group, which would else be read whole
_REST = 64 << 10


class Span(NamedTuple):
    """A part of a file: the lines, or of Avro the blocks, that begin in these bytes, or rows of a Parquet row group."""

    path: str
    begin: int
    end: int


class Block(NamedTuple):
    """Records that lie one behind the other in a file."""

    path: str
    place: int  # of the first; each further one's is higher by one, and none of a later block is lower
    records: list[Any] | pyarrow.RecordBatch


class ReadBlocks(beam.PTransform):
    """Paths -> blocks of their records; of Parquet files `columns` alone are read, or all."""

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        super().__init__()
        self._columns = columns

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        read = beam.FlatMap(blocks, self._columns)
        return paths | "Spans" >> beam.FlatMap(spans) | beam.Reshuffle() | "Read spans" >> read


def spans(path: str) -> Iterator[Span]:
    """A file in spans; a compressed one can be read from its beginning alone."""
    found = FileSystems.match([path])[0].metadata_list
    if not found:
        raise OSError(f"{path}: it was there when the job began, and is gone")
    size = found[0].size_in_bytes
    if path.endswith(PARQUET):
        with FileSystems.open(path) as file:
            groups = _row_groups(pyarrow.parquet.ParquetFile(file))
        parts = [
            (begin, min(begin + _SPAN_ROWS, end)) for first, end in groups for begin in range(first, end, _SPAN_ROWS)
        ]
    else:
        step = max(size, 1) if path.endswith(COMPRESSED) else _SPAN
        parts = [(begin, begin + step) for begin in range(0, size, step)]
    for begin, end in parts:
        yield Span(path, begin, end)


def blocks(span: Span, columns: Sequence[str] | None = None) -> Iterator[Block]:
    """The records of a span, blank lines left out; of a Parquet file with these columns, or all."""
    path = span.path
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as raw:
            if path.endswith(PARQUET):
                yield from _rows(raw, span, columns)
            elif path.endswith(AVRO):
                yield from (Block(path, *found) for found in _of_avro(raw, span))
            elif path.endswith(COMPRESSED):
                yield from _numbered(path, 0, _whole(unfolded(path, raw)))
            else:
                yield from _numbered(path, span.begin, [_within(raw, span)])
    except (EOFError, OSError, zlib.error, pyarrow.ArrowInvalid) as error:
        raise OSError(f"{path}: {error}") from error


def _of_avro(raw: IO[bytes], span: Span) -> Iterator[tuple[int, list[Any]]]:
    try:
        yield from avro_blocks(raw, span.begin, span.end)
    except BROKEN as error:
        raise OSError(str(error) or type(error).__name__) from error


def unfolded(path: str, raw: IO[bytes]) -> IO[bytes]:
    """What a compressed file of that name holds."""
    if path.endswith(".zst"):
        return cast(IO[bytes], pyarrow.CompressedInputStream(raw, "zstd"))
    return cast(IO[bytes], gzip.GzipFile(fileobj=raw) if path.endswith(".gz") else bz2.BZ2File(raw))


def _numbered(path: str, place: int, parts: Iterable[list[bytes]]) -> Iterator[Block]:
    for part in parts:
        if place == 0 and part:
            part[0] = part[0].removeprefix(codecs.BOM_UTF8)
        lines = [line.rstrip(b"\r") for line in part if line.strip()]
        if lines:
            yield Block(path, place, lines)
        place += len(part)


def _whole(file: IO[bytes]) -> Iterator[list[bytes]]:
    """All lines of a compressed file, in blocks."""
    rest = b""
    while text := file.read(_SPAN):
        *lines, rest = (rest + text).split(b"\n")
        yield lines
    yield [rest]


def _within(raw: IO[bytes], span: Span) -> list[bytes]:
    """The lines that begin in a span."""
    file = io.BufferedReader(cast(io.RawIOBase, raw))  # a read of it gives as much as it is asked for
    before = min(span.begin, 1)  # the byte that tells whether a line begins with the span
    file.seek(span.begin - before)
    text = file.read(span.end - span.begin + before)
    while not text.endswith(b"\n") and (more := file.read(_REST)):
        end = more.find(b"\n")
        text += more if end < 0 else more[: end + 1]
    return text.split(b"\n")[before:]


def _row_groups(file: pyarrow.parquet.ParquetFile) -> list[tuple[int, int]]:
    """The rows of each row group, as the first and the one behind the last."""
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    return list(itertools.pairwise(itertools.accumulate(sizes, initial=0)))


def _rows(raw: IO[bytes], span: Span, columns: Sequence[str] | None) -> Iterator[Block]:
    file = pyarrow.parquet.ParquetFile(raw, buffer_size=_COLUMN_BUFFER)
    groups = _row_groups(file)
    group = next(number for number, (first, end) in enumerate(groups) if first <= span.begin < end)
    place = groups[group][0]
    # Arrow cannot begin within a row group: it is quick to pass over what comes before, as nothing is made of it.
    for batch in file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=columns):
        begin, end = max(span.begin - place, 0), min(span.end - place, len(batch))
        if begin < end:
            yield Block(span.path, place + begin, batch.slice(begin, end - begin))
        place += len(batch)
        if place >= span.end:
            return
